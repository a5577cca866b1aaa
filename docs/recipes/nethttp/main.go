// Command nethttp is a comet server as Go programs usually are: net/http, a goroutine for each connection, and a map of who is where.
//
//	GET  /events/{id}  holds a stream of server-sent events
//	POST /send/{id}    sends the body to whoever holds the id
//
// It is here to be soaked, beside others; see nethttp.md.
package main

import (
	"flag"
	"io"
	"log"
	"net/http"
	"sync"
)

// hub is who is where. The channel of a subscriber holds what he has not read yet.
type hub struct {
	mu   sync.RWMutex
	subs map[string]map[chan []byte]bool
}

func (h *hub) login(id string) chan []byte {
	c := make(chan []byte, 16)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs[id] == nil {
		h.subs[id] = map[chan []byte]bool{}
	}
	h.subs[id][c] = true
	return c
}

func (h *hub) logout(id string, c chan []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if delete(h.subs[id], c); len(h.subs[id]) == 0 {
		delete(h.subs, id)
	}
}

// events holds a subscriber until he leaves.
func (h *hub) events(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	c := h.login(id)
	defer h.logout(id, c)
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	flush()
	for {
		select {
		case msg := <-c:
			if _, err := w.Write(append(append([]byte("data: "), msg...), "\n\n"...)); err != nil || flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// send never waits for a subscriber who reads too slowly: that message is lost for him.
func (h *hub) send(w http.ResponseWriter, r *http.Request) {
	msg, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.mu.RLock()
	defer h.mu.RUnlock()
	for c := range h.subs[r.PathValue("id")] {
		select {
		case c <- msg:
		default:
		}
	}
	w.WriteHeader(http.StatusNoContent)
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8020", "address to listen on")
	flag.Parse()
	h := &hub{subs: map[string]map[chan []byte]bool{}}
	http.HandleFunc("GET /events/{id}", h.events)
	http.HandleFunc("POST /send/{id}", h.send)
	log.Fatal(http.ListenAndServe(*listen, nil))
}
