// The smallest program that serves golongpoll with its defaults, for `cargo xtask bench`. Its argument is where to
// listen.
package main

import (
	"log"
	"net/http"
	"os"

	"github.com/jcuga/golongpoll"
)

func main() {
	manager, err := golongpoll.StartLongpoll(golongpoll.Options{})
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/events", manager.SubscriptionHandler)
	http.HandleFunc("/publish", manager.PublishHandler)
	log.Fatal(http.ListenAndServe(os.Args[1], nil))
}
