package workers

import (
	"sync"
	"time"

	"cometctl/server"
	"cometctl/server/history"
)

// sums are numbers of a worker's lives.
type sums struct {
	conns  server.ConnStats
	ledger server.Ledger
	work   server.Work
	// history has the counters only, and cluster what only grows.
	history history.Stats
	cluster server.ClusterStats
	cut     int64
}

// maxOrigins is of how many publishers it is remembered what those did that have ended. With one more, all are forgotten; the sums are not.
const maxOrigins = 1000

// inter takes the numbers of a process that has ended into the past: whatever was open or pending is gone with it. What it has thrown away
// since its last answer, nobody knows; nor what it has counted of NATS.
func (w *worker) inter() {
	w.past.conns.Add(w.page.Conns().Ended())
	w.past.work.Add(w.page.Work())
	w.past.history.Add(w.page.History())
	w.past.cut += w.page.Cut()
	w.past.ledger.Overrun += w.last.Ledger.Overrun
	if w.last.Cluster != nil {
		w.past.cluster.Count(*w.last.Cluster)
	}
	f := w.f
	w.page.Accounts(func(owner string, l server.Ledger) {
		w.past.ledger.Add(l)
		if owner == "" {
			return
		}
		if f.origins == nil || len(f.origins) >= maxOrigins && f.origins[owner] == (server.Ledger{}) {
			f.origins = map[string]server.Ledger{}
		}
		l.Add(f.origins[owner])
		f.origins[owner] = l
	})
	w.page.Clear()
}

// Account implements server.Family.
func (f *Family) Account(origin string) (l server.Ledger) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if origin != "" {
		return f.origins[origin]
	}
	for _, w := range f.workers {
		l.Add(w.past.ledger)
	}
	return l
}

// answerLimit is how long the numbers of a worker are waited for. For one that is late, those that it told last have to do.
const answerLimit = time.Second

// Report implements server.Family.
func (f *Family) Report(st *server.Stats) {
	f.ask(false, answerLimit)
	f.mu.Lock()
	defer f.mu.Unlock()
	st.Workers = make([]server.WorkerStats, len(f.workers))
	for i, w := range f.workers {
		row := w.row()
		st.Workers[i] = row
		st.Conns.Add(row.Conns)
		st.Ledger.Add(row.Ledger)
		st.Router.Add(row.Router)
		st.History.Add(w.past.history)
		st.History.Add(w.last.History)
		st.Work.Add(w.past.work)
		st.Work.Add(w.page.Work())
		if st.Cluster != nil {
			st.Cluster.Count(w.past.cluster)
		}
		if st.Cluster != nil && w.last.Cluster != nil {
			st.Cluster.Add(*w.last.Cluster)
		}
		if st.Cluster != nil && w.link != nil && w.last.Cluster == nil {
			st.Cluster.Connected = false // it has not said so
		}
	}
}

// row is the worker's, its earlier lives included.
func (w *worker) row() server.WorkerStats {
	row := server.WorkerStats{Index: w.index, PID: w.pid, State: string(w.state), Restarts: w.restarts,
		Conns: w.past.conns, Router: w.last.Router, Ledger: w.past.ledger}
	row.Conns.Add(w.page.Conns())
	row.Ledger.Add(w.page.Ledger())
	row.Ledger.Overrun += w.last.Ledger.Overrun
	if w.why != nil {
		row.Why = w.why.Error()
	}
	return row
}

// Collect implements server.Family.
func (f *Family) Collect() { f.ask(true, 10*answerLimit) }

// ask asks all workers for their numbers, at the same time. Those that drain do not answer any more.
func (f *Family) ask(collect bool, patience time.Duration) {
	if f.ending() {
		return
	}
	var asking sync.WaitGroup
	f.mu.Lock()
	for _, w := range f.workers {
		if l := w.link; l != nil && w.state == running {
			asking.Go(func() { w.tells(l, collect, patience) })
		}
	}
	f.mu.Unlock()
	asking.Wait()
}

// tells notes what a worker answers.
func (w *worker) tells(l *link, collect bool, patience time.Duration) {
	st, err := l.ask(collect, patience)
	w.f.mu.Lock()
	defer w.f.mu.Unlock()
	if err == nil && w.link == l {
		w.last = st
	}
}

// cut is the number of connections that were cut by workers that drained.
func (f *Family) cut() (n int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.workers {
		n += w.past.cut + w.page.Cut()
	}
	return n
}

// links are the sockets of those that live.
func (f *Family) links() (all []*link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.workers {
		if w.link != nil {
			all = append(all, w.link)
		}
	}
	return all
}
