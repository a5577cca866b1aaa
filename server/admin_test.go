package server

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cometctl/internal/rlimit"
)

func TestStats(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine, Loops: 3, MaxConns: 77})
		dial(t, s).stream("1")
		dial(t, s).stream("1")
		dial(t, s).stream("anna")
		publish(t, s, "1\tx\n2\ty\n")
		wantLedger(t, s, Ledger{Sent: 2, Offline: 1, Copies: 2, Delivered: 2})
		a := admin(t, s, "GET", "/stats", "", nil)
		if a.status != 200 || a.header.Get("Content-Type") != "application/json" {
			t.Errorf("%d %v", a.status, a.header)
		}
		var doc map[string]any
		if err := json.Unmarshal([]byte(a.body), &doc); err != nil {
			t.Fatal(err)
		}
		histogram := func(name string) string { return name + ".buckets " + name + ".count " + name + ".sum" }
		want := "conns.accepted conns.bad conns.max conns.not_found conns.open conns.pending_bytes conns.refused conns.slow conns.streams conns.timeout conns.tls conns.waiting draining engine " +
			"history.bytes history.evicted history.expired history.gaps history.ids history.messages history.reserved history.resumed history.total " +
			"ledger.copies ledger.delivered ledger.dropped ledger.gone ledger.offline ledger.pending ledger.sent loops " +
			"memory.gc_cycles memory.heap_bytes memory.idle_bytes memory.released_bytes memory.rss_bytes memory.stacks_bytes memory.total_bytes " +
			"open_fds pid router.ids router.logins router.sessions uptime_s " +
			histogram("work.login_s") + " " + histogram("work.loop.batch") + " work.loop.in_bytes " + histogram("work.loop.lag_s") + " work.loop.out_bytes " +
			histogram("work.loop.turn_s") + " " + histogram("work.loop.written_s") + " " + histogram("work.send_s")
		if runtime.GOOS != "linux" {
			want = strings.NewReplacer("memory.rss_bytes ", "", "open_fds ", "").Replace(want)
		}
		all := slices.DeleteFunc(keys("", doc), func(key string) bool { return strings.Contains(key, "by.") })
		if got := strings.Join(all, " "); got != want {
			t.Errorf("keys\n%s, want\n%s", got, want)
		}
		var st Stats
		if err := json.Unmarshal([]byte(a.body), &st); err != nil {
			t.Fatal(err)
		}
		if st.Engine != engine || st.Loops != 3 || sums(st.Conns) != (ConnStats{Open: 3, Max: 77, Accepted: 3, Streams: 3}) ||
			st.Router != (RouterStats{Sessions: 3, IDs: 2, Logins: 3}) || st.Memory.Heap == 0 || st.Memory.Total == 0 || st.Uptime <= 0 {
			t.Errorf("%+v", st)
		}
	})
}

// keys lists the paths of an object's leaves.
func keys(prefix string, doc map[string]any) (all []string) {
	for k, v := range doc {
		if in, ok := v.(map[string]any); ok {
			all = append(all, keys(prefix+k+".", in)...)
		} else {
			all = append(all, prefix+k)
		}
	}
	slices.Sort(all)
	return all
}

func TestAdminTable(t *testing.T) {
	eachEngine(t, func(t *testing.T, engine string) {
		s := start(t, Config{Engine: engine})
		for _, c := range []struct {
			method, path string
			status       int
			says         string
		}{
			{"GET", "/healthz", 200, "ok\n"},
			{"GET", "/readyz", 200, "ok\n"},
			{"HEAD", "/healthz", 200, ""},
			{"POST", "/clock", 405, ""},
			{"POST", "/gc", 200, `"after":{"heap_bytes":`},
			{"GET", "/debug/pprof/", 200, "goroutine"},
			{"GET", "/debug/pprof/heap?debug=1", 200, "heap profile"},
			{"GET", "/debug/pprof/goroutine?debug=1", 200, "netloop"},
			{"GET", "/debug/pprof/cmdline", 200, "server.test"},
			{"GET", "/", 404, ""},
			{"GET", "/nope", 404, ""},
			{"GET", "/test/1", 404, ""},
			{"POST", "/stats", 405, ""},
			{"DELETE", "/metrics", 405, ""},
			{"POST", "/healthz", 405, ""},
			{"GET", "/gc", 405, ""},
			{"GET", "/send", 405, ""},
			{"GET", "/send/1", 405, ""},
		} {
			a := admin(t, s, c.method, c.path, "", nil)
			if a.status != c.status || !strings.Contains(a.body, c.says) {
				t.Errorf("%s %s: %d %.200q, want %d %q", c.method, c.path, a.status, a.body, c.status, c.says)
			}
		}
	})
}

// A client of the admin listener that does not get its head together is cut off, too.
func TestAdminHeadTimeout(t *testing.T) {
	s := start(t, Config{HeadTimeout: 20 * time.Millisecond})
	b := dialTo(t, s.Admin().String(), 0)
	b.say("GET /stats HTTP/1.1\r\nHost")
	if got := b.rest(); strings.Contains(got, "200 OK") {
		t.Errorf("half a head got %q", got)
	}
}

// Connections beyond the places wait until one has ended, and the listener can be closed meanwhile.
func TestAdminPlaces(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	full := make(chan bool, 10)
	l := newAdminListener(ln, 2, func(int64) bool { return false }, func() { full <- true })
	defer l.Close()
	accepted := make(chan net.Conn)
	ended := make(chan error)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				ended <- err
				return
			}
			accepted <- c
		}
	}()
	for range 4 {
		dialTo(t, ln.Addr().String(), 0)
	}
	first, second := <-accepted, <-accepted
	<-full
	if l.take(1) {
		t.Error("a third place is free")
	}
	first.Close()
	first.Close() // twice is once
	third := <-accepted
	if l.take(1) || len(full) != 0 {
		t.Error("a place is free again, or it was told twice")
	}
	second.Close()
	third.Close()
	<-accepted
	l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if l.take(directFiles) || !l.take(1) { // the fourth has one of the two
		t.Errorf("%d places are taken", len(l.places))
	}
}

// A direct connection takes the places of the descriptors that it has more, where they are free, and gives all back.
func TestDirectTakesPlaces(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newAdminListener(ln, 2+directFiles, func(int64) bool { return false }, func() {})
	defer l.Close()
	var all []*adminConn
	for range 2 {
		dialTo(t, ln.Addr().String(), 0)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c.(*adminConn))
		r, _ := http.NewRequestWithContext(withConn(t.Context(), c), "POST", "/send", nil)
		goDirect(r)
		goDirect(r) // twice is once
	}
	if !all[0].direct || all[1].direct || len(l.places) != 2+directFiles || l.direct.Load() != 1 {
		t.Errorf("direct: %t and %t, %d counted; %d places are taken", all[0].direct, all[1].direct, l.direct.Load(), len(l.places))
	}
	all[0].Close()
	all[1].Close()
	if len(l.places) != 0 || l.direct.Load() != 0 {
		t.Errorf("%d places, %d direct in the end", len(l.places), l.direct.Load())
	}
}

// A crowd that says nothing does not keep others from the admin listener for longer than a head may take, and does not
// take the comet listener's descriptors.
func TestAdminCrowd(t *testing.T) {
	files, err := rlimit.Raise()
	if err != nil || files.Soft > 1<<27 {
		t.Skipf("no limit of descriptors: %d, %v", files.Soft, err)
	}
	var told strings.Builder
	s := start(t, Config{MaxConns: int(files.Soft) - rlimit.Reserve, HeadTimeout: 200 * time.Millisecond, Log: slog.New(slog.NewTextHandler(&told, nil))})
	dial(t, s).stream("1")
	s.counts.held.Add(s.most - 1) // as if the comet listener had all it may have
	var crowd []*browser
	for range adminPlaces + 5 {
		crowd = append(crowd, dialTo(t, s.Admin().String(), 0))
	}
	if a := admin(t, s, "GET", "/healthz", "", nil); a.status != 200 {
		t.Errorf("behind the crowd: %d", a.status)
	}
	for i, b := range crowd {
		if got := b.rest(); got != "" {
			t.Errorf("client %d said nothing and got %q", i, got)
		}
	}
	s.counts.held.Add(1 - s.most)
	s.Close()
	if n := strings.Count(told.String(), "more wait until one ends"); n != 1 {
		t.Errorf("it was told %d times: %s", n, told.String())
	}
}

// What the comet listener does not use, the admin listener may: a hundred generators, each with a connection of its own. Lent
// descriptors are not given away twice, and come back.
func TestAdminBorrows(t *testing.T) {
	files, err := rlimit.Raise()
	if err != nil || files.Soft > 1<<27 {
		t.Skipf("no limit of descriptors: %d, %v", files.Soft, err)
	}
	s := start(t, Config{MaxConns: int(files.Soft) - rlimit.Reserve})
	s.counts.held.Add(s.most - 12) // as if all but twelve were in use
	var crowd []*browser
	for range adminPlaces + 5 {
		b := dialTo(t, s.Admin().String(), 0)
		b.say("GET /healthz HTTP/1.1\r\n" + hostLine)
		b.head() // all are served at the same time
		crowd = append(crowd, b)
	}
	until(t, "six descriptors are lent, one for who comes next", func() bool { return s.counts.lent.Load() == 6 })
	for i := range 6 {
		dial(t, s).stream(strconv.Itoa(i))
	}
	if got := dial(t, s).head(); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("the twelfth descriptor was given away twice: %q", got)
	}
	for _, b := range crowd {
		b.Close()
	}
	for end := time.Now().Add(10 * time.Second); s.counts.lent.Load() > 1 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	dial(t, s).stream("9")
}

// The time is told to the nanosecond, to whoever asks, and to be remembered by nobody.
func TestClock(t *testing.T) {
	s := start(t, Config{Engine: "goroutine"})
	before := time.Now().UnixNano()
	a := admin(t, s, "GET", "/clock", "", nil)
	after := time.Now().UnixNano()
	if now, err := strconv.ParseInt(a.body, 10, 64); err != nil || now < before || now > after || a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %q %v, want a time from %d to %d", a.status, a.body, a.header, before, after)
	}
}
