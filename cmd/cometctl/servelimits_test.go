package main

import (
	"testing"

	"cometctl/server"
)

// All workers together have what was asked for, and each of them something.
func TestShareLimits(t *testing.T) {
	for _, n := range []int{1, 3, 4, 52} {
		all := server.Config{MaxConns: 1000, MaxPending: 64 << 10, MaxPendingTotal: 64 << 20, MaxHandshakes: 100, MaxConnsPerIP: 10, MaxConnsPerID: 3, AcceptRate: 500}
		var sum server.Config
		for i := range n {
			each := shareLimits(all, n, i)
			if each.MaxConns < 1 || each.MaxHandshakes < 1 || each.MaxConnsPerIP < 1 || each.MaxConnsPerID < 1 || each.MaxPending != all.MaxPending {
				t.Errorf("worker %d of %d: %+v", i, n, each)
			}
			sum.MaxConns += each.MaxConns
			sum.MaxPendingTotal += each.MaxPendingTotal
			sum.AcceptRate += each.AcceptRate
			sum.MaxHandshakes += each.MaxHandshakes
			sum.MaxConnsPerIP += each.MaxConnsPerIP
		}
		if sum.MaxConns != all.MaxConns || sum.MaxPendingTotal > all.MaxPendingTotal || sum.MaxPendingTotal < all.MaxPendingTotal-int64(n) || sum.AcceptRate > all.AcceptRate*1.001 ||
			sum.MaxHandshakes < all.MaxHandshakes || sum.MaxHandshakes >= all.MaxHandshakes+n || sum.MaxConnsPerIP < all.MaxConnsPerIP || sum.MaxConnsPerIP >= all.MaxConnsPerIP+n {
			t.Errorf("%d workers have together %+v", n, sum)
		}
	}
	none := shareLimits(server.Config{}, 4, 0)
	if none.MaxConns != 0 || none.MaxHandshakes != 0 || none.MaxConnsPerIP != 0 || none.MaxConnsPerID != 0 || none.AcceptRate != 0 || none.MaxPendingTotal != server.DefaultMaxPendingTotal/4 {
		t.Errorf("of nothing each has %+v", none)
	}
}
