package node

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/internal/netloop"
	"cometctl/server"
)

// eachEngine runs a test once per engine that this system has, at the same time: they wait most of it.
func eachEngine(t *testing.T, f func(t *testing.T, engine string)) {
	for _, engine := range netloop.Engines() {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			f(t, engine)
		})
	}
}

// remembering is a server of that engine that keeps 100 messages of an id.
func remembering(engine string) (cfg server.Config) {
	cfg.Engine, cfg.History.Messages = engine, 100
	return cfg
}

// client is a connection to a comet listener.
type client struct {
	net.Conn
	t testing.TB
	r *bufio.Reader
}

// ask connects and asks for target, with further fields, whole lines.
func ask(t testing.TB, at, target, fields string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(brokertest.Patience))
	fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", target, fields)
	return &client{nc, t, bufio.NewReader(nc)}
}

// status reads the head of an answer.
func (c *client) status() (status int) {
	c.t.Helper()
	for first := true; ; first = false {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("%q, %v", line, err)
		}
		if first {
			fmt.Sscanf(line, "HTTP/1.1 %d", &status)
		}
		if line == "\r\n" {
			return status
		}
	}
}

// until reads up to text, and returns what came before it, chunks' sizes and all.
func (c *client) until(text string) string {
	c.t.Helper()
	var b strings.Builder
	for !strings.HasSuffix(b.String(), text) {
		ch, err := c.r.ReadByte()
		if err != nil {
			c.t.Fatalf("after %q: %v, want %q", b.String(), err, text)
		}
		b.WriteByte(ch)
	}
	return strings.TrimSuffix(b.String(), text)
}

// poll asks a node what came after a position, and returns the new one.
func poll(t testing.TB, n *Node, id, since, wait string) (status int, lines, cursor string) {
	t.Helper()
	resp, err := http.Get("http://" + n.Comet().String() + "/poll/" + id + "?since=" + since + "&wait=" + wait)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header.Get("Last-Event-ID")
}

// known waits until NATS knows that a node wants so many ids, held or remembered.
func known(t testing.TB, n *Node, ids int) {
	t.Helper()
	brokertest.Until(t, "its ids are known", func() bool {
		st := n.Stats()
		return st.Cluster.Connected && st.Cluster.Subscribed == ids && st.Cluster.Waiting == 0
	})
	heard(t, n)
}

// TestPollBetweenNodes polls one node for what is published on the other. Between two polls nobody is logged in, and yet nothing is missed.
func TestPollBetweenNodes(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := brokertest.Embed(t, broker.EmbedConfig{})
		to := broker.ConnectConfig{URLs: []string{e.URL()}}
		a, b := start(t, Config{NATS: to, Server: remembering(engine)}), start(t, Config{NATS: to, Server: remembering(engine)})
		status, lines, cursor := poll(t, b, "7", "", "0")
		if status != 204 || lines != "" || cursor == "" {
			t.Fatalf("%d %q, at %q", status, lines, cursor)
		}
		known(t, b, 1)
		sent, first := 0, cursor
		for range 5 {
			var all, want strings.Builder
			for range 3 {
				fmt.Fprintf(&all, "7\tmessage %d\n", sent)
				fmt.Fprintf(&want, "message %d,", sent)
				sent++
			}
			if st := b.Stats(); st.Router.Sessions != 0 {
				t.Fatalf("%+v", st.Router)
			}
			if status, answer := post(t, a, "/send", all.String()); status != 200 || !strings.Contains(answer, `"sent":3`) {
				t.Fatalf("%d %s", status, answer)
			}
			var got string
			for strings.Count(got, ",") < 3 {
				if _, lines, cursor = poll(t, b, "7", cursor, "20s"); strings.Contains(lines, "gap") || lines == "" {
					t.Fatalf("got %q", lines)
				}
				got += texts(lines)
			}
			if got != want.String() {
				t.Fatalf("got %s want %s", got, want.String())
			}
		}
		// The same position elsewhere is a gap, and then what is kept there: all, in this case.
		if _, lines, _ := poll(t, a, "7", cursor, "0"); !strings.HasPrefix(lines, `{"id":"7","n":`) || !strings.Contains(strings.SplitN(lines, "\n", 2)[0], `"gap":true`) ||
			strings.Count(texts(lines), ",") != sent {
			t.Errorf("at the other node: %q", lines)
		}
		c := ask(t, a.Comet().String(), "/events/7", "Last-Event-ID: "+first+"\r\n")
		if said := c.until(fmt.Sprintf("\ndata: message %d\n\n", sent-1)); strings.Count(said, "event: gap\n") != 1 || strings.Index(said, "event: gap") > strings.Index(said, "data: message 0\n") {
			t.Errorf("an event stream at the other node: %q", said)
		}
	})
}

// texts are the messages in JSON lines.
func texts(lines string) (all string) {
	for line := range strings.Lines(lines) {
		if _, text, ok := strings.Cut(line, `"msg":"`); ok {
			all += strings.TrimSuffix(text, "\"}\n") + ","
		}
	}
	return all
}

// TestOutageIsTold stops NATS and starts it again. Streams that go on are told a gap before their next message, and so is who comes back.
func TestOutageIsTold(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		address := brokertest.FreeAddress(t)
		e := brokertest.Embed(t, broker.EmbedConfig{Listen: address})
		cfg := Config{NATS: broker.ConnectConfig{URLs: []string{e.URL()}}, Server: remembering(engine)}
		cfg.Server.History.TTL = time.Second
		a, b := start(t, cfg), start(t, cfg)
		at := b.Comet().String()
		events, lines := ask(t, at, "/events/7", ""), ask(t, at, "/test/7", "Accept: application/x-ndjson\r\n")
		socket := ask(t, at, "/ws/7?format=json", "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
		all := []*client{events, lines, socket}
		for _, c := range all {
			c.status()
		}
		known(t, b, 1)
		if _, answer := post(t, a, "/send/7", "before"); !strings.Contains(answer, `"remote":3`) {
			t.Fatal(answer)
		}
		for _, c := range all {
			c.until("before")
		}
		_, _, cursor := poll(t, b, "7", "", "0")
		e.Close()
		brokertest.Until(t, "both notice", func() bool { return !a.Stats().Cluster.Connected && !b.Stats().Cluster.Connected })
		if _, answer := post(t, a, "/send/7", "lost"); !strings.Contains(answer, `"unpublished":1`) {
			t.Fatal(answer)
		}
		brokertest.Embed(t, broker.EmbedConfig{Listen: address})
		known(t, b, 1)
		brokertest.Until(t, "it is told who comes back", func() bool {
			_, told, _ := poll(t, b, "7", cursor, "0")
			return strings.Contains(told, `"gap":true`)
		})
		brokertest.Until(t, "messages come again", func() bool {
			_, answer := post(t, a, "/send/7", "after")
			return strings.Contains(answer, `"remote":3`)
		})
		if said := events.until("data: after"); strings.Count(said, "event: gap\n") != 1 || strings.Contains(said, "lost") {
			t.Errorf("an event stream is told %q", said)
		}
		for _, c := range all[1:] {
			if said := c.until(`"after"`); strings.Count(said, `"gap":true`) != 1 || strings.Contains(said, "lost") {
				t.Errorf("a stream is told %q", said)
			}
		}
	})
}

// TestWhoEndsAll ends sessions of all dialects on all nodes, each in its own way.
func TestWhoEndsAll(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		e := brokertest.Embed(t, broker.EmbedConfig{})
		to := broker.ConnectConfig{URLs: []string{e.URL()}}
		a, b := start(t, Config{NATS: to, Server: remembering(engine)}), start(t, Config{NATS: to, Server: remembering(engine)})
		brokertest.Until(t, "both are one cluster", func() bool { return len(askWho(t, a, "GET", "7").Nodes) == 2 })
		sessions := everyDialect(t, a.Comet().String(), "7", 1)
		sessions = append(sessions, everyDialect(t, b.Comet().String(), "7", 1)...)
		brokertest.Until(t, "all are there", func() bool { return askWho(t, a, "GET", "7").Sessions == len(sessions) })
		if w := askWho(t, a, "DELETE", "7"); w.Ended == nil || *w.Ended != len(sessions) {
			t.Errorf("%+v", w)
		}
		for _, s := range sessions {
			s.ends(1008)
		}
		brokertest.Until(t, "nobody is there", func() bool { return a.Stats().Router.Sessions+b.Stats().Router.Sessions == 0 })
		for _, n := range []*Node{a, b} {
			if st := n.Stats(); st.Router.Sessions != 0 || st.Ledger.Gone != 0 {
				t.Errorf("%+v, %+v", st.Router, st.Ledger)
			}
		}
	})
}

// session is one of a dialect.
type session struct {
	*client
	dialect string
}

// everyDialect logs in so many of each dialect.
func everyDialect(t testing.TB, at, id string, of int) (all []session) {
	t.Helper()
	const upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for range of {
		for _, s := range []struct {
			dialect, target, fields string
			status                  int
		}{
			{"html", "/test/" + id, "", 200},
			{"sse", "/events/" + id, "", 200},
			{"lines", "/test/" + id, "Accept: application/x-ndjson\r\n", 200},
			{"websocket", "/ws/" + id, upgrade, 101},
			{"websocket", "/ws/" + id + "?format=json", upgrade, 101},
			{"poll", "/poll/" + id + "?wait=60s", "", 0},
		} {
			c := ask(t, at, s.target, s.fields)
			if s.status != 0 {
				if got := c.status(); got != s.status {
					t.Fatalf("%s is answered with %d", s.target, got)
				}
			}
			all = append(all, session{c, s.dialect})
		}
	}
	return all
}

// ends fails unless the session ends as its dialect does, a WebSocket with that code. It returns what a stream said from its head on.
func (s session) ends(code int) string {
	s.t.Helper()
	if s.dialect == "poll" {
		if got := s.status(); got != 204 {
			s.t.Errorf("a poll ends with %d", got)
		}
		s.Close()
		return ""
	}
	if s.dialect == "websocket" {
		head := make([]byte, 4)
		if _, err := io.ReadFull(s.r, head); err != nil || head[0] != 0x88 || int(head[2])<<8|int(head[3]) != code {
			s.t.Errorf("a WebSocket ends with %x, %v, want code %d", head, err, code)
		}
		s.Close()
		return ""
	}
	rest, err := io.ReadAll(s.r)
	s.Close()
	if err != nil || !strings.HasSuffix(string(rest), "0\r\n\r\n") {
		s.t.Errorf("a stream (%s) ends with %q, %v", s.dialect, rest, err)
	}
	return string(rest)
}
