package flood

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"cometctl/internal/wire"
)

// faulty is a server that spoils what it sends, at places that a seed has chosen: it drops, repeats, swaps, keeps back, corrupts and is late. It
// counts what it has done as somebody would who has seen every message, and never looks at what the client makes of it.
type faulty struct {
	rnd   *rand.Rand
	early []string // to each connection while it is held
	after []string // and when the hold is over
	want  map[wire.RunTag]*runSums

	corrupt uint64
	whole   uint64 // messages that are not, those that come again among them
}

// sequence is what one connection gets of one worker.
type sequence struct {
	run  wire.RunTag
	seen map[uint64]bool
	top  uint64
}

// newFaulty makes what n connections are to be sent, of two runs with some workers each, that all begin after everybody is there.
func newFaulty(seed uint64, n int) *faulty {
	f := &faulty{rnd: rand.New(rand.NewPCG(seed, 3)), want: map[wire.RunTag]*runSums{}}
	begin := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC) // always the same, or what is spoilt would be another thing each time
	for id := range n {
		text, late := "", ""
		for worker := range 1 + f.rnd.IntN(3) {
			s := &sequence{run: wire.NewRunTag(begin.Add(time.Duration(f.rnd.IntN(2))*time.Second), worker), seen: map[uint64]bool{}}
			numbers := f.order(20 + f.rnd.IntN(200))
			cut := len(numbers) - f.rnd.IntN(min(len(numbers), 4))
			for i, number := range numbers {
				if i < cut {
					text += f.message(s, id+1, number, false)
				} else {
					late += f.message(s, id+1, number, true)
				}
			}
			f.sums(s).missing += int64(s.top) - int64(len(s.seen))
		}
		f.early, f.after = append(f.early, text), append(f.after, late)
	}
	return f
}

// order is 1 to n with faults: what is in it, and where. What is kept back comes less than 64 places late, so that all of it can be told.
func (f *faulty) order(n int) (out []uint64) {
	type kept struct {
		number uint64
		places int
	}
	var back []kept
	for number := range uint64(n) {
		switch f.rnd.IntN(12) {
		case 0: // dropped
		case 1:
			back = append(back, kept{number + 1, 1 + f.rnd.IntN(40)})
		case 2:
			back = append(back, kept{number + 1, 1 + f.rnd.IntN(20)}) // repeated
			fallthrough
		default:
			out = append(out, number+1)
		}
		for i := 0; i < len(back); {
			if back[i].places--; back[i].places == 0 {
				out = append(out, back[i].number)
				back = append(back[:i], back[i+1:]...)
				continue
			}
			i++
		}
		if len(out) > 1 && f.rnd.IntN(20) == 0 { // swapped
			last := len(out) - 1
			out[last], out[last-1] = out[last-1], out[last]
		}
	}
	return out
}

func (f *faulty) sums(s *sequence) *runSums {
	first := s.run.First()
	if f.want[first] == nil {
		f.want[first] = &runSums{}
	}
	return f.want[first]
}

// message is the chunks of one message, which may be spoilt, and counts what it is.
func (f *faulty) message(s *sequence, id int, number uint64, late bool) string {
	lag := time.Duration(f.rnd.IntN(5000)) * time.Microsecond
	stamp := wire.AppendStamp(nil, s.run, fmt.Append(nil, id), number, s.run.Start().UnixNano()+int64(number)*1e6, lag)
	text := fmt.Appendf(nil, "Recvd msg #%d: 'Fake ~ message 1~2.3 Num = %d ", number, number)
	sums := f.sums(s)
	if f.rnd.IntN(15) == 0 {
		f.corrupt++
		f.spoil(stamp)
		if f.rnd.IntN(2) == 0 {
			stamp = stamp[:len(stamp)-1-f.rnd.IntN(20)]
		}
	} else {
		f.whole++
		switch {
		case s.seen[number]:
			sums.duplicated++
		default:
			s.seen[number] = true
			if sums.messages++; late {
				sums.late++
			}
			if number < s.top {
				sums.reordered++
			}
			s.top = max(s.top, number)
		}
	}
	text = append(append(text, stamp...), "'<br/>"...)
	var out []byte
	for len(text) > 0 { // in one chunk, or in some
		n := len(text)
		if f.rnd.IntN(4) == 0 {
			n = 1 + f.rnd.IntN(n)
		}
		out = wire.AppendChunk(out, text[:n])
		text = text[n:]
	}
	return string(out)
}

// spoil makes another byte of one behind the run. What would make a whole stamp in the short form is left out.
func (f *faulty) spoil(stamp []byte) {
	from := bytes.IndexByte(stamp, '.') + 1
	for {
		at, c := from+f.rnd.IntN(len(stamp)-from), "0123456789.~ax'<"[f.rnd.IntN(16)]
		if stamp[at] != c && (stamp[at] != '.' || c != '~') {
			stamp[at] = c
			return
		}
	}
}

// serve sends to each connection what is meant for the number in its path, cut anywhere, when it may; and ends it behind the last byte.
func (f *faulty) serve(t *testing.T, early, after <-chan struct{}) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		conns.Wait()
	})
	conns.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				head := make([]byte, 4096)
				n, err := c.Read(head)
				var id int
				if _, scan := fmt.Sscanf(string(head[:n]), "GET /%d ", &id); err != nil || scan != nil {
					t.Errorf("request %q: %v, %v", head[:n], err, scan)
					return
				}
				rnd := rand.New(rand.NewPCG(uint64(id), 4))
				_, _ = c.Write([]byte(okHead))
				<-early
				writeCut(c, rnd, f.early[id-1])
				<-after
				writeCut(c, rnd, f.after[id-1]+wire.LastChunk)
			})
		}
	})
	return "http://" + l.Addr().String()
}

// writeCut writes text in pieces, mostly of some hundred bytes.
func writeCut(c net.Conn, rnd *rand.Rand, text string) {
	for len(text) > 0 {
		n := min(1+rnd.IntN(1<<rnd.IntN(12)), len(text))
		if _, err := c.Write([]byte(text[:n])); err != nil {
			return
		}
		text = text[n:]
	}
}

// What a server did to its messages is what flood says of them, digit for digit: for each run, in sum, and in the interval log.
func TestCountsAreWhatWasInjected(t *testing.T) {
	const conns = 60
	for _, engine := range engines() {
		for seed := range uint64(3) {
			f := newFaulty(seed, conns)
			var all runSums
			before := uint64(0) // what has to have come when the hold ends
			for _, s := range f.want {
				all.add(*s)
				before += s.messages - s.late
			}
			var hdr bytes.Buffer
			early, after := make(chan struct{}), make(chan struct{})
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			cfg := Config{Engine: engine, Loops: 2, Every: time.Millisecond, Drain: 20 * time.Second, HDR: NewHDRLog(&hdr, 3*time.Millisecond)}
			phase := Ramp
			cfg.Watch = func(p Progress) {
				if p.Phase != phase {
					switch phase = p.Phase; phase {
					case Hold:
						close(early)
					case Late:
						close(after)
					}
				}
				if phase == Hold && p.Messages == before {
					cancel()
				}
			}
			got, err := flooded(t, ctx, cfg, f.serve(t, early, after)+fmt.Sprintf("/{1..%d}", conns))
			cancel()
			if err != nil || !got.Held() || got.ClosedEarly != 0 || phase != Drain {
				t.Fatalf("%s, seed %d: %v, %+v", engine, seed, err, got)
			}
			if sums := (runSums{got.Messages, got.Duplicated, got.Reordered, got.Late, int64(got.Missing)}); sums != all || got.Corrupt != f.corrupt {
				t.Errorf("%s, seed %d: %+v, corrupt %d; injected %+v, %d", engine, seed, sums, got.Corrupt, all, f.corrupt)
			}
			if all.missing == 0 || all.duplicated == 0 || all.reordered == 0 || all.late == 0 || f.corrupt == 0 || len(f.want) != 2 {
				t.Fatalf("seed %d injects too little: %+v, %d", seed, all, f.corrupt)
			}
			for _, r := range got.Runs {
				first := wire.NewRunTag(r.Start, 0)
				if sums := (runSums{r.Messages, r.Duplicated, r.Reordered, r.Late, int64(r.Missing)}); f.want[first] == nil || sums != *f.want[first] || !r.Counted {
					t.Errorf("%s, seed %d, run %s: %+v; injected %+v", engine, seed, r.Tag, sums, f.want[first])
				}
			}
			for tag, n := range intervals(t, &hdr) {
				if n != f.whole {
					t.Errorf("%s, seed %d: the interval log has %d values of %s, want %d", engine, seed, n, tag, f.whole)
				}
			}
		}
	}
}

// intervals sums up how many values a log has, by tag.
func intervals(t *testing.T, log *bytes.Buffer) map[string]uint64 {
	t.Helper()
	sums := map[string]uint64{"latency": 0, "service": 0, "lag": 0}
	for r := hdrhistogram.NewHistogramLogReader(log); ; {
		h, err := r.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			return sums
		}
		sums[h.Tag()] += uint64(h.TotalCount())
	}
}
