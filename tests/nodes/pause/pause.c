/* Holds the namespaces of a pod: sleeps, reaps orphans, ends when told to. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal_number)
{
	(void)signal_number;
	_exit(0);
}

static void reap(int signal_number)
{
	(void)signal_number;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

int main(int argc, char **argv)
{
	/* The health check of kubeadm upgrade runs the image with -v and expects it to end. */
	if (argc > 1 && strcmp(argv[1], "-v") == 0) {
		puts("pause (test image)");
		return 0;
	}
	/* Process 1 has no default actions: without handlers these would be ignored. */
	signal(SIGINT, end);
	signal(SIGTERM, end);
	signal(SIGCHLD, reap);
	for (;;)
		pause();
}
