// Watches the ConfigMaps of a namespace as controllers do, by client-go's shared informer, and writes what it knows after every event
// to a file: one line for each object, with its data. The file is replaced, never half-written.
//
//	informer KUBECONFIG NAMESPACE FILE
package main

import (
	"fmt"
	"log"
	"os"
	"sort"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"
)

func main() {
	if len(os.Args) != 4 {
		log.Fatal("usage: informer KUBECONFIG NAMESPACE FILE")
	}
	kubeconfig, namespace, file := os.Args[1], os.Args[2], os.Args[3]
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		log.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		log.Fatal(err)
	}
	// No resync: what is not told by a watch or a list must not be known.
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(namespace))
	informer := factory.Core().V1().ConfigMaps().Informer()
	changed := make(chan struct{}, 1)
	tell := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(any) { tell() },
		UpdateFunc: func(any, any) { tell() },
		DeleteFunc: func(any) { tell() },
	})
	if err != nil {
		log.Fatal(err)
	}
	stop := make(chan struct{})
	factory.Start(stop)
	for {
		select {
		case <-changed:
		case <-time.After(time.Second):
		}
		if err := write(informer.GetStore().List(), file); err != nil {
			log.Fatal(err)
		}
	}
}

func write(objects []any, file string) error {
	var lines []string
	for _, object := range objects {
		config := object.(*v1.ConfigMap)
		var data []string
		for key, value := range config.Data {
			if key != "ca.crt" {
				data = append(data, key+"="+value)
			}
		}
		sort.Strings(data)
		lines = append(lines, fmt.Sprintf("%s %s", config.Name, strings.Join(data, " ")))
	}
	sort.Strings(lines)
	if err := os.WriteFile(file+".new", []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
