//! The command line, as scripts meet it: exit codes, stdout, stderr.
