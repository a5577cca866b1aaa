package flood

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/wire"
)

// counted is a handler that tells when so many bytes have been read in all. Its fields belong to its loop's turn.
type counted struct {
	netloop.Handler
	read, want int
	done       chan struct{}
}

func (h *counted) Readable(l netloop.Loop, c netloop.Conn, b []byte) {
	h.Handler.Readable(l, c, b)
	if h.read += len(b); h.read == h.want {
		h.done <- struct{}{}
	}
}

// bareHandler reads and does nothing else.
type bareHandler struct{ handler }

func (bareHandler) Opened(netloop.Loop, netloop.Conn)           {}
func (bareHandler) Readable(netloop.Loop, netloop.Conn, []byte) {}
func (bareHandler) Closed(netloop.Loop, netloop.Conn, error)    {}

// BenchmarkSockets reads messages off 4,000 sockets, one or some from each, and measures what one loop, which is one core, makes of them: the
// system's calls and all. The sockets are filled while the loop stands still, so that nobody else is at work while it reads. "bare" is the same with a
// handler that does nothing: what flood costs beside it is the ratio of the two.
func BenchmarkSockets(b *testing.B) {
	for _, each := range []int{1, 8} {
		b.Run(fmt.Sprintf("flood/%d", each), func(b *testing.B) { benchmarkSockets(b, each, false) })
		b.Run(fmt.Sprintf("bare/%d", each), func(b *testing.B) { benchmarkSockets(b, each, true) })
	}
}

func benchmarkSockets(b *testing.B, each int, bare bool) {
	const conns = 4000
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	r := newRig(b, conns, fmt.Sprintf("http://%v/test/{1..%d}", l.Addr(), conns))
	h := &counted{Handler: handler{r.lane}, done: make(chan struct{}, 1), want: conns * len(okHead)}
	if bare {
		h.Handler = bareHandler{}
	}
	r.plan.clock = wallClock(0)
	engine, err := netloop.New(netloop.Config{Loops: 1}, h)
	if err != nil {
		b.Fatal(err)
	}
	defer engine.Close()
	engine.Do(0, func(l netloop.Loop) {
		if !bare {
			r.lane.fill(l)
			return
		}
		for i := range conns {
			if _, err := l.Dial(r.plan.targets.Addr(i), r.plan.origins.from(i, r.plan.targets.Addr(i).Addr())); err != nil {
				b.Error(err)
			}
		}
	})
	var sockets []net.Conn
	for range conns {
		c, err := l.Accept()
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, okHead); err != nil {
			b.Fatal(err)
		}
		sockets = append(sockets, c)
	}
	<-h.done

	run := wire.NewRunTag(time.Now().Add(time.Hour), 0)
	seq, took, messages := uint64(0), time.Duration(0), 0
	for b.Loop() {
		stands, release := make(chan struct{}), make(chan struct{})
		go engine.Do(0, func(netloop.Loop) { // which may be given the turn itself
			close(stands)
			<-release
		})
		<-stands
		text := ""
		for range each {
			seq++
			text += message(run, "12345", seq, time.Now().UnixNano())
		}
		for _, c := range sockets {
			if _, err := io.WriteString(c, text); err != nil {
				b.Fatal(err)
			}
		}
		h.read, h.want = 0, conns*len(text)
		began := time.Now()
		close(release)
		<-h.done
		took += time.Since(began)
		messages += conns * each
	}
	if t := &r.lane.tracker; !bare && (t.messages != uint64(messages) || t.missing != 0 || t.duplicated+t.reordered != 0) {
		b.Fatalf("%+v, want %d messages in order", t.runSums, messages)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(messages)/took.Seconds(), "msgs/s")
}
