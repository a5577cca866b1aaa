package server

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// Every dialect is the same over TLS: one message comes to each of them.
func TestDialectsOverTLS(t *testing.T) {
	s := startTLS(t, Config{DrainTimeout: patience}, newPair(t, "localhost", 2*time.Hour))
	addr := tunnel(t, s, anybody())
	html, socket := dialTo(t, addr, 0).stream("1"), dialTo(t, addr, 0).upgrade("1", "")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: anybody()}}
	coder, _, err := websocket.Dial(ctx, "wss://"+s.Comet().String()+"/ws/1", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer coder.CloseNow()
	until(t, "all are logged in", func() bool { return s.Stats().Router.Sessions == 3 })
	publish(t, s, "1\thello\n")
	html.wantMessage(1, "hello")
	socket.wantFrame("1:hello")
	if _, msg, err := coder.Read(ctx); err != nil || string(msg) != "hello" {
		t.Errorf("wss: %q, %v", msg, err)
	}
	done := drain(s)
	if got := html.rest(); got != "0\r\n\r\n" {
		t.Errorf("the html stream ends with %q", got)
	}
	socket.wantClose(1001)
	s.Close()
	<-done
}
