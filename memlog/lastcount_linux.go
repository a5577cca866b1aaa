package memlog

// A lastCount is a count of established connections that is kept for as long as the kernel's
// counters prove that it still holds. Counting costs the kernel almost a microsecond for each
// connection, because it describes each; the counters cost next to nothing.
//
// Two proofs, between the time of the count and now:
//
//   - Nothing came in. No connection is established, and none becomes CLOSE_WAIT, without a
//     segment from its peer, which InSegs counts. Every other way out of ESTABLISHED takes
//     from CurrEstab. So if these two stand still, it is the same connections.
//
//   - Nothing was opened, and nothing is between states. What becomes established was SYN_SENT
//     or SYN_RECV before, or adds to ActiveOpens or PassiveOpens. What ceases to be established
//     is CLOSE_WAIT now, or has taken from CurrEstab, which only something that becomes
//     established could make up for. This holds with any traffic, but somebody has to look at
//     all sockets for the three states, at both times.
//
// The counters are of the network namespace, so that any other program's coming and going makes
// us count again, and nobody's makes us count wrong.
type lastCount struct {
	n       int64
	at      tcpCounters // when it had been taken
	quiet   bool        // nothing came in while it was taken
	settled bool        // nothing was between states, or opened, while it was taken
}

// forget makes the next call of get count.
func (l *lastCount) forget() { l.quiet, l.settled = false, false }

// get returns the number of connections. counters reads the kernel's, ok is false if there are
// none; settled looks whether no socket is between states; count counts. These two walk through
// the sockets, walked tells whether one did; if neither is due yet and the number cannot be had
// without, the error is errShare.
func (l *lastCount) get(due bool, counters func() (c tcpCounters, ok bool), settled func() (bool, error),
	count func() (int64, error)) (n int64, walked bool, err error) {
	before, ok := counters()
	if l.quiet && ok && before == l.at {
		return l.n, false, nil
	}
	if !due {
		return NA, false, errShare
	}
	calm := false
	if ok && before.opened() == l.at.opened() { // else it is to be counted anyway
		if calm, err = settled(); err != nil {
			return NA, true, err
		}
		if calm && l.settled {
			return l.n, true, nil
		}
	}
	if n, err = count(); err != nil {
		l.forget()
		return NA, true, err
	}
	after, still := counters()
	still = still && ok
	*l = lastCount{
		n:       n,
		at:      after,
		quiet:   still && after == before,
		settled: still && calm && after.opened() == before.opened(),
	}
	return n, true, nil
}
