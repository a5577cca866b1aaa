package memlog

import (
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// probeOf opens a probe of these puppets' families.
func probeOf(t testing.TB, alone bool, targets ...*puppet) *probe {
	t.Helper()
	var rows []process
	for _, p := range targets {
		rows = append(rows, p.row())
	}
	p, err := openProbe(rows, alone)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p
}

func mustSample(t testing.TB, p *probe) Sample {
	t.Helper()
	var s Sample
	if err := p.sample(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func pidsOf(p *probe) []int {
	var pids []int
	for _, m := range p.members() {
		pids = append(pids, m.pid)
	}
	slices.Sort(pids)
	return pids
}

// checkMembers takes a sample and demands that it is of exactly these.
func checkMembers(t *testing.T, p *probe, want ...*puppet) Sample {
	t.Helper()
	s := mustSample(t, p)
	var pids []int
	for _, w := range want {
		pids = append(pids, w.pid)
	}
	slices.Sort(pids)
	if got := pidsOf(p); !slices.Equal(got, pids) || s.Procs != int64(len(pids)) || len(p.byPID) != len(pids) {
		t.Fatalf("members are %v, %d by pid, and procs is %d, want %v", got, len(p.byPID), s.Procs, pids)
	}
	return s
}

// readIndependently sums over processes what their files say, in another way than the probe: from
// /proc/PID/status and smaps, and by listing.
func readIndependently(t *testing.T, pids ...*puppet) Sample {
	t.Helper()
	var sum Sample
	for _, p := range pids {
		for file, keys := range map[string]map[string]*int64{
			"status": {"VmRSS:": &sum.RSS, "RssAnon:": &sum.Anon, "Threads:": &sum.Threads},
			"smaps":  {"Pss:": &sum.PSS},
		} {
			b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", p.pid, file))
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(b)) {
				if f := strings.Fields(line); len(f) > 1 && keys[f[0]] != nil {
					n, err := strconv.ParseInt(f[1], 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					*keys[f[0]] += n
				}
			}
		}
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
		if err != nil {
			t.Fatal(err)
		}
		sum.FDs += int64(len(entries))
	}
	return sum
}

func TestFamilyIsSummedUp(t *testing.T) {
	show := newPuppetShow(t)
	root := show.start(t)
	a, b := root.spawn(false), root.spawn(false)
	c := a.spawn(false)
	show.start(t) // a stranger
	c.do("hold 30")
	p := probeOf(t, false, root)
	checkMembers(t, p, root, a, b, c)
	news := p.news()
	for _, kid := range []*puppet{a, b, c} {
		if want := fmt.Sprintf("member: pid %d (puppet)", kid.pid); !slices.Contains(news, want) {
			t.Errorf("no note %q in %q", want, news)
		}
	}

	// A garbage collector may be at work in them, and smaps adds up what was rounded.
	var s, want Sample
	near := func(a, b int64) bool { return max(a-b, b-a) <= 64 }
	deadline := time.Now().Add(10 * time.Second)
	for {
		s, want = checkMembers(t, p, root, a, b, c), readIndependently(t, root, a, b, c)
		if near(s.RSS, want.RSS) && near(s.Anon, want.Anon) && near(s.PSS, want.PSS) && s.FDs == want.FDs && s.Threads == want.Threads {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("sums  %+v\nwanted %+v", s, want)
		}
	}
	if s.RSS < 30<<10 || s.PSS >= s.RSS {
		t.Errorf("the sum of RSS is %d KB with 30 MB held, that of PSS %d", s.RSS, s.PSS)
	}
	if ps, err := exec.Command("ps", "-o", "rss=", "-p", strings.Trim(fmt.Sprint(pidsOf(p)), "[]")).Output(); err == nil {
		sum := int64(0)
		for _, n := range strings.Fields(string(ps)) {
			n, err := strconv.ParseInt(n, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			sum += n
		}
		if max(sum-s.RSS, s.RSS-sum) > 1024 {
			t.Errorf("ps sums up to %d KB of RSS, we to %d", sum, s.RSS)
		}
	}

	alone := checkMembers(t, probeOf(t, true, root), root)
	if alone.RSS > s.RSS-30<<10 {
		t.Errorf("alone %d KB of %d", alone.RSS, s.RSS)
	}
}

func TestMembersComeAndGo(t *testing.T) {
	show := newPuppetShow(t)
	root := show.start(t)
	p := probeOf(t, false, root)
	checkMembers(t, p, root)
	before := p.news()

	a := root.spawn(false)
	checkMembers(t, p, root, a)
	a.do("burn 100")
	used := checkMembers(t, p, root, a).CPU
	if used < 50*time.Millisecond { // each of two counters a process is in steps of 10 ms
		t.Errorf("after 100 ms the family has used %v", used)
	}
	a.kill() // a zombie, or gone
	if cpu := checkMembers(t, p, root).CPU; cpu < used {
		t.Errorf("processor time went back from %v to %v when a member died", used, cpu)
	}
	again := root.spawn(false)
	if cpu := checkMembers(t, p, root, again).CPU; cpu < used {
		t.Errorf("processor time went back from %v to %v when a member was started again", used, cpu)
	}
	want := []string{fmt.Sprintf("member started: pid %d (puppet)", a.pid), fmt.Sprintf("member ended: pid %d (puppet)", a.pid),
		fmt.Sprintf("member started: pid %d (puppet)", again.pid)}
	if news := p.news(); !slices.Equal(news, want) {
		t.Errorf("notes %q after %q, want %q", news, before, want)
	}

	// An orphan stays a member, and its children become some.
	child := again.spawn(false)
	checkMembers(t, p, root, again, child)
	again.kill()
	checkMembers(t, p, root, child)
	grandchild := child.spawn(false)
	checkMembers(t, p, root, child, grandchild)

	root.kill()
	var s Sample
	if err := p.sample(&s); err != errEnded || p.alive() {
		t.Errorf("the target is dead, its descendants are not: %v", err)
	}
	if ended := p.ended(); len(ended) != 1 || ended[0].pid != root.pid {
		t.Errorf("ended: %v", ended)
	}
}

func TestFamiliesOverlap(t *testing.T) {
	show := newPuppetShow(t)
	one, two := show.start(t), show.start(t)
	a := one.spawn(false)
	b := a.spawn(false)
	c := two.spawn(false)
	rows, err := Target{PIDs: []int{two.pid, a.pid, one.pid, a.pid}}.find(os.Getpid())
	if err != nil || len(rows) != 3 {
		t.Fatalf("found %v, %v", rows, err)
	}
	p := probeOf(t, false, two, a, one)
	checkMembers(t, p, one, two, a, b, c)
	two.kill()
	checkMembers(t, p, one, a, b, c) // c was its child, and is still there
	one.kill()
	checkMembers(t, p, a, b, c)
	if ended := p.ended(); len(ended) != 2 || ended[0].pid != two.pid || ended[1].pid != one.pid {
		t.Errorf("ended: %v", ended)
	}
	if !p.alive() {
		t.Error("one of three targets is left, and it is not alive")
	}
	for _, text := range p.news() {
		if strings.Contains(text, strconv.Itoa(one.pid)) {
			t.Errorf("a target is noted as a member: %q", text)
		}
	}
}

// A kernel without children files.
func TestFamilyByScan(t *testing.T) {
	show := newPuppetShow(t)
	root := show.start(t)
	a := root.spawn(false)
	b := a.spawn(false)
	p := probeOf(t, false, root)
	p.kin.scan = true
	checkMembers(t, p, root, a, b)
	c := b.spawn(false)
	checkMembers(t, p, root, a, b, c)
	a.kill()
	checkMembers(t, p, root, b, c)
}

// memlog does not count itself, unless it is asked to.
func TestFamilyWithoutOurselves(t *testing.T) {
	parent, ok := readProcess(os.Getppid())
	if !ok {
		t.Skip("nobody is our parent")
	}
	p, err := openProbe([]process{parent}, false)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	mustSample(t, p)
	if p.byPID[os.Getpid()] != nil {
		t.Errorf("our parent's family %v has us, %d", pidsOf(p), os.Getpid())
	}
	if own := probeSelf(t); mustSample(t, own).Procs < 1 || own.byPID[os.Getpid()] == nil {
		t.Errorf("our own family %v has us not", pidsOf(own))
	}
}

// dial opens n connections, which the puppet accepts.
func dial(t *testing.T, p *puppet, port, n int) {
	t.Helper()
	for range n {
		c, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	}
	p.do("accept " + strconv.Itoa(n))
}

func TestFamilysConnectionsCountOnce(t *testing.T) {
	show := newPuppetShow(t)
	root := show.start(t)
	port := root.do("listen 0")
	dial(t, root, port, 3)
	heir := root.spawn(true) // the same socket, as nginx's workers
	dial(t, heir, port, 4)
	stranger := show.start(t)
	dial(t, stranger, stranger.do("listen 0"), 9)

	p := probeOf(t, false, root)
	awaitConns(t, p, 7)
	sharer := root.spawn(false) // a socket of its own on the same port, as serve's workers
	sharer.do("listen " + strconv.Itoa(port))
	awaitConns(t, p, 7)
	admin := sharer.do("listen 0") // and a port of its own
	dial(t, sharer, admin, 5)
	awaitConns(t, p, 12)

	for _, target := range []Target{{Port: port}, {PIDs: []int{root.pid}}} {
		rows, err := target.find(os.Getpid())
		if err != nil || len(rows) != 1 || rows[0].pid != root.pid {
			t.Errorf("%v finds %v, %v, want pid %d", target, rows, err, root.pid)
		}
	}
	alone := probeOf(t, true, sharer)
	awaitConns(t, alone, 12) // the kernel does not say whose a shared port's connections are

	root.do("close") // its heir still has it
	awaitConns(t, p, 12)
	heir.kill()
	awaitConns(t, p, 8) // its connections go with it; the port is still the sharer's
	sharer.kill()
	eventually(t, "a note that nobody listens", func() bool {
		s := mustSample(t, p)
		return s.Conns == NA && strings.Contains(strings.Join(p.news(), "\n"), "the target listens on no TCP port")
	})
	awaitConns(t, probeOf(t, false, stranger), 9)
}

// Who listens is found out again when the members are others, although the sockets are the same.
func TestListenersAreTheMembers(t *testing.T) {
	show := newPuppetShow(t)
	root := show.start(t)
	port := root.do("listen 0")
	dial(t, root, port, 4)
	heir, second, other := root.spawn(true), root.spawn(true), root.spawn(false)
	dial(t, other, other.do("listen 0"), 3)
	h, s, o := asMember(t, heir), asMember(t, second), asMember(t, other)
	var c connCounter
	defer c.close()
	want := func(want int64, members ...*member) {
		t.Helper()
		eventually(t, fmt.Sprintf("a count of %d", want), func() bool {
			n, err := c.count(members)
			return n == want && err == nil
		})
	}
	want(3, o)
	want(7, o, h) // whose socket was a stranger's
	want(7, o, h, s)
	want(7, o, s) // it was known as the heir's
	want(3, o)
	want(4, h)
	want(7, s, o)

	// A count is not kept for other ports.
	members := []*member{o}
	eventually(t, "the count to be forgotten", func() bool {
		c.last.quiet, c.last.settled = true, true
		if err := c.resolve(members); err != nil {
			t.Fatal(err)
		}
		return !c.last.quiet && !c.last.settled
	})
}

// Of a family with very many descriptors only the lowest of each are searched.
func TestSearchDepth(t *testing.T) {
	of := func(fds ...int64) (members []*member) {
		for _, n := range fds {
			members = append(members, &member{held: Sample{FDs: n}})
		}
		return members
	}
	for want, members := range map[int][]*member{math.MaxInt: of(wholeSearch, NA, 0), lowestSearch: of(wholeSearch, NA, 1)} {
		if got := searchDepth(members); got != want {
			t.Errorf("depth %d, want %d", got, want)
		}
	}
	n := 0
	if err := eachSocket("/proc/self", 0, func(uint32) bool { n++; return true }); err != nil || n != 0 {
		t.Errorf("%d sockets among no descriptors, %v", n, err)
	}
	connect(t, listen(t, "tcp4", "127.0.0.1:0"), 50)
	all, few := map[uint32]bool{}, map[uint32]bool{}
	for most, into := range map[int]map[uint32]bool{math.MaxInt: all, 60: few} {
		if err := eachSocket("/proc/self", most, func(inode uint32) bool { into[inode] = true; return true }); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 101 || len(few) == 0 || len(few) > 60 {
		t.Errorf("%d sockets among all descriptors, %d among the lowest 60", len(all), len(few))
	}
}

func asMember(t *testing.T, p *puppet) *member {
	t.Helper()
	m, err := openMember(p.row())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.close)
	return m
}

// Of many members the first have columns of their own, and not all that come and go have a note.
func TestManyMembers(t *testing.T) {
	var said memberNotes
	for i := range maxMemberNotes + 3 {
		said.add(strconv.Itoa(i))
	}
	if texts := said.drain(); len(texts) != maxMemberNotes+1 || texts[maxMemberNotes] != "members: 3 more have started or ended" {
		t.Errorf("%d notes, the last is %q", len(texts), texts[len(texts)-1])
	}
	p := probe{family: &family{}}
	for i := range maxMembers + 5 {
		p.family.members = append(p.family.members, &member{process: process{pid: i}})
	}
	if shown := p.members(); len(shown) != maxMembers || len(p.news()) != 1 {
		t.Errorf("%d members have columns", len(shown))
	}
}

// One sample of a family of 53 with 20 MB each: nothing is born, and the whole family is looked through.
func BenchmarkFamilySample(b *testing.B) {
	const members, each = 53, 20
	show := newPuppetShow(b)
	root := show.start(b)
	port := root.do("listen 0")
	for range members - 1 {
		kid := root.spawn(false)
		kid.do("hold " + strconv.Itoa(each))
		kid.do("listen " + strconv.Itoa(port))
	}
	root.do("hold " + strconv.Itoa(each))
	for _, walk := range []bool{false, true} {
		b.Run("walk="+strconv.FormatBool(walk), func(b *testing.B) {
			p := probeOf(b, false, root)
			from := ownCPU()
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n++
				if walk {
					p.kin.births = births{}
				}
				if s := mustSample(b, p); s.Procs != members {
					b.Fatal(s.Procs)
				}
			}
			b.ReportMetric(float64((ownCPU()-from).Microseconds())/1000/float64(n), "cpu-ms/sample")
		})
	}
}
