package memlog

import (
	"errors"
	"testing"
)

// A step is one sample, and the world that it meets.
type step struct {
	at       tcpCounters
	blind    bool        // no counters
	meantime tcpCounters // what is added to the counters while connections are counted
	between  bool        // a socket is between states
	fails    bool        // counting does
	counts   bool        // what is wanted: that it counts
}

func TestLastCount(t *testing.T) {
	idle := tcpCounters{10, 20, 5, 100}
	segment := tcpCounters{10, 20, 5, 101} // one came in
	opened := tcpCounters{10, 21, 6, 103}
	segments := tcpCounters{inSegs: 1}
	tests := []struct {
		name  string
		steps []step
	}{
		{"idle: counts once", []step{{at: idle, counts: true}, {at: idle}, {at: idle}}},
		{"idle, although one is between states", []step{{at: idle, between: true, counts: true}, {at: idle, between: true}}},
		{"traffic: counts twice, until it has seen that nothing is between states", []step{
			{at: idle, meantime: segments, counts: true}, {at: segment, meantime: segments, counts: true},
			{at: tcpCounters{10, 20, 5, 500}}, {at: tcpCounters{10, 20, 5, 900}}}},
		{"a connection comes", []step{{at: idle, counts: true}, {at: opened, counts: true}, {at: opened}}},
		{"one goes", []step{{at: idle, counts: true}, {at: tcpCounters{10, 20, 4, 101}, counts: true}}},
		{"one goes for good without a segment", []step{{at: idle, counts: true}, {at: tcpCounters{10, 20, 4, 100}, counts: true}}},
		{"one becomes CLOSE_WAIT", []step{{at: idle, counts: true}, {at: segment, between: true, counts: true},
			{at: segment, between: true}, {at: tcpCounters{10, 20, 5, 102}, between: true, counts: true}}},
		{"one goes, one that was SYN_SENT comes", []step{{at: idle, between: true, counts: true}, {at: segment, counts: true}}},
		{"one comes while it counts", []step{{at: idle, meantime: tcpCounters{0, 1, 1, 3}, counts: true}, {at: opened, counts: true}, {at: opened}}},
		{"traffic and one comes while it counts", []step{{at: idle, counts: true},
			{at: segment, meantime: tcpCounters{0, 1, 1, 2}, counts: true}, {at: opened, counts: true}}},
		{"no counters", []step{{blind: true, counts: true}, {blind: true, counts: true}, {at: tcpCounters{}, counts: true}}},
		{"counters come and go", []step{{at: idle, counts: true}, {blind: true, counts: true}, {at: idle, counts: true}}},
		{"a count that failed is not used", []step{{at: idle, counts: true}, {at: opened, fails: true, counts: true}, {at: idle, counts: true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var l lastCount
			for i, s := range tt.steps {
				now, counted := s.at, false
				n, walked, err := l.get(true,
					func() (tcpCounters, bool) { return now, !s.blind },
					func() (bool, error) { return !s.between, nil },
					func() (int64, error) {
						counted = true
						now = tcpCounters{now.activeOpens + s.meantime.activeOpens, now.passiveOpens + s.meantime.passiveOpens,
							now.currEstab + s.meantime.currEstab, now.inSegs + s.meantime.inSegs}
						if s.fails {
							return 0, errors.New("no")
						}
						return int64(i), nil
					})
				if counted != s.counts {
					t.Fatalf("step %d: counted is %t, want %t", i, counted, s.counts)
				}
				if counted && !walked {
					t.Fatalf("step %d: counted, and says that it has not walked", i)
				}
				if s.fails != (err != nil) || counted && err == nil && n != int64(i) {
					t.Fatalf("step %d: %d, %v", i, n, err)
				}
			}
		})
	}
}

// A walk that is not due is not made; what the counters prove without one holds all the same.
func TestLastCountWithinItsShare(t *testing.T) {
	var l lastCount
	at, walks := tcpCounters{10, 20, 5, 100}, 0
	get := func(due bool) (int64, error) {
		n, walked, err := l.get(due, func() (tcpCounters, bool) { return at, true },
			func() (bool, error) { walks++; return true, nil },
			func() (int64, error) { walks++; return at.currEstab, nil })
		if walked != due && walked {
			t.Error("it has walked although that was not due")
		}
		return n, err
	}
	want := func(due bool, conns int64, err error, walked int) {
		t.Helper()
		walks = 0
		if n, got := get(due); n != conns || got != err || walks != walked {
			t.Errorf("%d connections, %v, %d walks; want %d, %v, %d", n, got, walks, conns, err, walked)
		}
	}
	want(false, NA, errShare, 0) // never counted
	want(true, 5, nil, 1)
	want(false, 5, nil, 0) // nothing came in
	at.inSegs++
	want(false, NA, errShare, 0) // one may have become CLOSE_WAIT
	want(true, 5, nil, 2)
	at.passiveOpens, at.currEstab = 21, 6
	want(false, NA, errShare, 0)
	want(false, NA, errShare, 0)
	want(true, 6, nil, 1)
	want(false, 6, nil, 0)
}
