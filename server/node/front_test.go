//go:build linux

package node

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"cometctl/internal/broker"
	"cometctl/internal/broker/brokertest"
	"cometctl/internal/netloop"
	"cometctl/internal/subject"
	"cometctl/server"
	"cometctl/server/workers"
)

// TestMain makes the test binary a worker, too.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "worker" {
		if err := workers.Serve(context.Background(), work); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

type task struct {
	URLs   []string
	Name   string
	Server server.Config
}

func work(a workers.Assignment) (workers.Worker, error) {
	var j task
	if err := json.Unmarshal(a.Config, &j); err != nil {
		return nil, err
	}
	cfg := j.Server
	cfg.NoAdmin, cfg.Loops, cfg.MaxConns, cfg.Inherit, cfg.Page = true, 1, 100, a.Listener, a.Page
	return New(Config{Name: j.Name, NATS: broker.ConnectConfig{URLs: j.URLs}, Server: cfg})
}

// startFront runs a node with n workers.
func startFront(t *testing.T, n int) *Node { return startFrontWith(t, n, server.Config{}) }

// startFrontWith is startFront with workers that serve as cfg says.
func startFrontWith(t *testing.T, n int, cfg server.Config) *Node {
	drain := 5 * time.Second
	return start(t, Config{Server: server.Config{DrainTimeout: drain}, Embed: &broker.EmbedConfig{}, Front: func(urls []string, name string) (server.Family, error) {
		return workers.Start(t.Context(), workers.Config{N: n, Listen: "127.0.0.1:0", Command: []string{os.Args[0], "worker"},
			Drain: drain, Stuck: brokertest.Patience, Stderr: os.Stderr,
			Job: func(i int) any { return task{urls, WorkerName(name, i), cfg} }})
	}})
}

// reader opens a stream and counts its messages in n until it ends.
func reader(t *testing.T, at, id string, n *atomic.Int64) {
	t.Helper()
	nc, err := net.Dial("tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	fmt.Fprintf(nc, "GET /test/%s HTTP/1.1\r\nHost: localhost\r\n\r\n", id)
	lines := bufio.NewReader(nc)
	if line, err := lines.ReadString('\n'); !strings.HasPrefix(line, "HTTP/1.1 200") {
		t.Fatalf("%q, %v", line, err)
	}
	go func() {
		defer nc.Close()
		for {
			line, err := lines.ReadString('\n')
			if strings.Contains(line, "Recvd msg #") {
				n.Add(1)
			}
			if err != nil {
				return
			}
		}
	}()
}

// rest waits until the workers have handled what NATS had taken before, and returns the whole ledger.
func rest(t *testing.T, n *Node) (l server.Ledger) {
	t.Helper()
	heard(t, n)
	brokertest.Until(t, "everything is at rest", func() bool {
		l = n.Stats().Ledger
		return l.Pending == 0
	})
	return l
}

// Of what is sent while a worker is killed, every message is in one bin.
func TestKilledWorkersLedger(t *testing.T) {
	const ids, messages, origin = 40, 20000, "KILLEDWORKERTEST"
	n := startFront(t, 3)
	var read atomic.Int64
	for id := range ids {
		reader(t, n.Comet().String(), fmt.Sprint(id), &read)
	}
	joined(t, n, ids)
	victim := n.Stats().Workers[1]
	if victim.Conns.Open == 0 {
		t.Skip("chance gave it no connection")
	}
	url, _ := n.NATS()
	nc, err := broker.Connect(broker.ConnectConfig{URLs: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var offline atomic.Int64
	reply := subject.Reply(origin, subject.Void) + ".0"
	if _, err := nc.Subscribe(reply, func(*nats.Msg) { offline.Add(1) }); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		if i == messages/2 {
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		if err := nc.PublishRequest(subject.Of(fmt.Append(nil, i%ids)), reply, []byte("m")); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	brokertest.Until(t, "the worker is back", func() bool { w := n.Stats().Workers[1]; return w.State == "running" && w.Restarts == 1 })
	l := rest(t, n)
	if l.Received != l.Delivered+l.Dropped+l.Gone+l.Offline || l.Copies != l.Delivered+l.Dropped+l.Gone {
		t.Errorf("the bins do not add up: %+v", l)
	}
	lost := messages - offline.Load() - l.Received
	if lost < 0 || l.Received < messages/2 {
		t.Errorf("%d messages, %d offline, %d lost in transit, %+v", messages, offline.Load(), lost, l)
	}
	brokertest.Until(t, "all that was delivered is read", func() bool { return read.Load() >= l.Delivered })
	if got := read.Load(); got > l.Delivered+l.Gone {
		t.Errorf("%d were read, %+v", got, l)
	}
	if got := accountOf(t, nc, origin, 4); got != l {
		t.Errorf("of the origin: %+v, in all: %+v", got, l)
	}
	if st := n.Stats(); st.Router.Sessions != ids-victim.Conns.Open || st.Conns.Open != ids-victim.Conns.Open || st.Cluster.Subscribed != int(ids-victim.Conns.Open) {
		t.Errorf("%+v, %+v, %+v, and %d were killed", st.Conns, st.Router, st.Cluster, victim.Conns.Open)
	}
	t.Logf("%d offline, %d lost in transit, %+v", offline.Load(), lost, l)
}

// accountOf asks all nodes what they did with the messages of an origin.
func accountOf(t *testing.T, nc *nats.Conn, origin string, nodes int) (sum server.Ledger) {
	t.Helper()
	answers, err := nc.SubscribeSync(nats.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest(subject.Ledger, answers.Subject, []byte(origin)); err != nil {
		t.Fatal(err)
	}
	for range nodes {
		m, err := answers.NextMsg(brokertest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		var a struct{ Ledger server.Ledger }
		if err := json.Unmarshal(m.Data, &a); err != nil {
			t.Fatal(err)
		}
		sum.Add(a.Ledger)
	}
	return sum
}

// What publishers were told is sent reaches the streams before their last chunk.
func TestFrontDrains(t *testing.T) {
	const ids, messages = 20, 5000
	n := startFront(t, 2)
	var read atomic.Int64
	for id := range ids {
		reader(t, n.Comet().String(), fmt.Sprint(id), &read)
	}
	joined(t, n, ids)
	var lines strings.Builder
	for i := range messages {
		fmt.Fprintf(&lines, "%d\tm\n", i%ids)
	}
	if status, answer := post(t, n, "/send", lines.String()); status != 200 || !strings.Contains(answer, fmt.Sprintf(`"sent":%d`, messages)) {
		t.Fatalf("%d %s", status, answer)
	}
	if err := n.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	brokertest.Until(t, "all is read", func() bool { return read.Load() == messages })
	if l := n.Stats().Ledger; l.Sent != messages || l.Received != messages || l.Delivered != messages {
		t.Errorf("%+v", l)
	}
}

// Sessions in other processes are seen by the parent, and end by its word.
func TestFrontWho(t *testing.T) {
	const sessions = 20
	n := startFront(t, 3)
	var read atomic.Int64
	for range sessions {
		reader(t, n.Comet().String(), "7", &read)
	}
	reader(t, n.Comet().String(), "8", &read)
	w := askWho(t, n, "GET", "7")
	listed := 0
	for _, row := range w.Nodes {
		listed += len(row.List)
	}
	if w.Sessions != sessions || listed != sessions || len(w.Nodes) != 4 || w.Nodes[0].Node != n.Name() || w.Nodes[3].Node != WorkerName(n.Name(), 2) {
		t.Errorf("%+v", w)
	}
	if w := askWho(t, n, "DELETE", "7"); w.Sessions != sessions || w.Ended == nil || *w.Ended != sessions {
		t.Errorf("%+v", w)
	}
	brokertest.Until(t, "they have ended", func() bool { return n.Stats().Conns.Open == 1 })
	if w := askWho(t, n, "GET", "8"); w.Sessions != 1 {
		t.Errorf("of the other id: %+v", w)
	}
}

// A front of workers that drains is not ready from the first moment, and ends every session as its dialect does. Event streams are told to come back at
// different times.
func TestFrontDrainsDialects(t *testing.T) {
	for _, engine := range netloop.Engines() {
		t.Run(engine, func(t *testing.T) {
			const each = 10
			n := startFrontWith(t, 2, remembering(engine))
			sessions := everyDialect(t, n.Comet().String(), "7", each)
			stays := ask(t, n.Comet().String(), "/test/7", "") // until it is seen that nobody is to come any more
			stays.status()
			brokertest.Until(t, "all are there", func() bool { return n.Stats().Router.Sessions == int64(len(sessions)+1) })
			drained := make(chan error)
			go func() { drained <- n.Drain(context.Background()) }()
			times := map[string]bool{}
			for _, s := range sessions {
				if s.dialect != "sse" {
					s.ends(1001)
					continue
				}
				said := s.ends(0)
				last, _, _ := strings.Cut(said[strings.LastIndex(said, "retry: ")+len("retry: "):], "\n")
				if ms, err := strconv.Atoi(last); err != nil || ms < 2000 || ms > 6000 || strings.Count(said, "retry: ") != 2 {
					t.Errorf("an event stream is told %q at last", said)
				}
				times[last] = true
			}
			if len(times) < each/2 {
				t.Errorf("%d event streams come back at %d times", each, len(times))
			}
			resp, err := http.Get("http://" + n.Admin().String() + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusServiceUnavailable {
				t.Errorf("/readyz while it drains: %d", resp.StatusCode)
			}
			stays.until("0\r\n\r\n")
			stays.Close()
			if err := <-drained; err != nil {
				t.Error(err)
			}
			if st := n.Stats().Conns; st.Open != 0 || named(t, st.ClosedBy)["drained"] != st.Accepted {
				t.Errorf("%+v", st)
			}
		})
	}
}

// named are causes by name, as others see them.
func named(t *testing.T, c server.Causes) (by map[string]int64) {
	t.Helper()
	b, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(b, &by)
	}
	if err != nil {
		t.Fatal(err)
	}
	return by
}
