package server

import (
	"bufio"
	"context"
	"net/http"
	"strings"
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
	var streams []*bufio.Reader
	for _, accept := range []string{"text/event-stream", "application/x-ndjson"} {
		req, err := http.NewRequestWithContext(ctx, "GET", "https://"+s.Comet().String()+"/test/1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", accept)
		resp, err := client.Do(req)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp, err)
		}
		defer resp.Body.Close()
		if got := resp.Header.Get("Content-Type"); !strings.HasPrefix(got, accept) {
			t.Fatalf("%s gets %s", accept, got)
		}
		streams = append(streams, bufio.NewReader(resp.Body))
	}
	polled := make(chan string, 1)
	go func() {
		resp, err := client.Get("https://" + s.Comet().String() + "/poll/1?wait=20s")
		if err != nil {
			polled <- err.Error()
			return
		}
		defer resp.Body.Close()
		line, _ := bufio.NewReader(resp.Body).ReadString('\n')
		polled <- line
	}()
	until(t, "all are logged in", func() bool { return s.Stats().Router.Sessions == 6 })
	publish(t, s, "1\thello\n")
	html.wantMessage(1, "hello")
	socket.wantFrame("1:hello")
	if _, msg, err := coder.Read(ctx); err != nil || string(msg) != "hello" {
		t.Errorf("wss: %q, %v", msg, err)
	}
	for i, want := range []string{"data: hello\n", `"msg":"hello"}`} {
		for {
			line, err := streams[i].ReadString('\n')
			if err != nil {
				t.Fatalf("%q did not come: %v", want, err)
			}
			if strings.Contains(line, want) {
				break
			}
		}
	}
	if line := <-polled; !strings.Contains(line, `"msg":"hello"}`) {
		t.Errorf("polled %q", line)
	}
	done := drain(s)
	if got := html.rest(); got != "0\r\n\r\n" {
		t.Errorf("the html stream ends with %q", got)
	}
	socket.wantClose(1001)
	s.Close()
	<-done
}
