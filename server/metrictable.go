package server

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"cometctl/internal/meter"
)

// metricTable are the metrics of a server: docs/metrics.md says more of each. Which there are depends on what the server is, never on what has happened.
func metricTable(cluster, family bool) []metric {
	all := append(connMetrics(), messageMetrics()...)
	all = append(all, historyMetrics()...)
	all = append(all, workMetrics()...)
	all = append(all, memoryMetrics()...)
	if cluster {
		all = append(all, clusterMetrics()...)
	}
	if family {
		all = append(all, workerMetrics()...)
	}
	return all
}

func connMetrics() []metric {
	return []metric{
		{name: "connections", help: "Connections of the comet listener that are open.", labels: []string{"protocol", "state"}, kind: prometheus.GaugeValue,
			read: func(st *Stats, put func(float64, ...string)) {
				for dialect, phases := range st.Conns.By.names() {
					for phase, n := range phases {
						put(float64(n), dialect, phase)
					}
				}
			}},
		gauge("connections_waiting", "Connections without a whole request.", func(st *Stats) int64 { return st.Conns.Waiting }),
		gauge("connections_max", "The most connections that may be open.", func(st *Stats) int64 { return st.Conns.Max }),
		counter("connections_accepted_total", "Connections accepted.", func(st *Stats) int64 { return st.Conns.Accepted }),
		counter("streams_total", "Streams begun.", func(st *Stats) int64 { return st.Conns.Streams }),
		byCause("requests_refused_total", "Requests and connections that were refused.", func(st *Stats) Causes { return st.Conns.RefusedBy }),
		byCause("connections_closed_total", "Connections that have ended.", func(st *Stats) Causes { return st.Conns.ClosedBy }),
		gauge("router_sessions", "Sessions logged in.", func(st *Stats) int64 { return st.Router.Sessions }),
		gauge("router_ids", "Ids that somebody holds.", func(st *Stats) int64 { return st.Router.IDs }),
		gauge("router_logins", "Pairs of session and id.", func(st *Stats) int64 { return st.Router.Logins }),
	}
}

func byCause(name, help string, read func(st *Stats) Causes) metric {
	return by(prometheus.CounterValue, name, help, "cause", func(st *Stats, put func(int64, string)) {
		for i, n := range read(st) {
			put(n, causeNames[i])
		}
	})
}

func messageMetrics() []metric {
	return []metric{
		counter("messages_sent_total", "Messages taken from publishers.", func(st *Stats) int64 { return st.Ledger.Sent }),
		counter("messages_offline_total", "Messages for an id that nobody held.", func(st *Stats) int64 { return st.Ledger.Offline }),
		by(prometheus.CounterValue, "copies_total", "Deliveries begun, and how they ended.", "outcome", func(st *Stats, put func(int64, string)) {
			put(st.Ledger.Copies, "begun")
			put(st.Ledger.Delivered, "delivered")
			put(st.Ledger.Dropped, "dropped")
			put(st.Ledger.Gone, "gone")
		}),
		gauge("copies_pending", "Deliveries queued.", func(st *Stats) int64 { return st.Ledger.Pending }),
	}
}

func historyMetrics() []metric {
	return []metric{
		counter("messages_replayed_total", "Messages written from the history to clients that came back.", func(st *Stats) int64 { return st.Ledger.Replayed }),
		gauge("history_ids", "Ids of which something is remembered.", func(st *Stats) int64 { return st.History.IDs }),
		gauge("history_messages", "Messages that are kept.", func(st *Stats) int64 { return st.History.Messages }),
		gauge("history_bytes", "Memory in use for what is kept.", func(st *Stats) int64 { return st.History.Bytes }),
		gauge("history_reserved_bytes", "Memory taken from the system for that.", func(st *Stats) int64 { return st.History.Reserved }),
		gauge("history_max_bytes", "The most that may be taken for that.", func(st *Stats) int64 { return st.History.Total }),
		counter("history_evicted_total", "Messages given up before their time, because there was no more room.", func(st *Stats) int64 { return st.History.Evicted }),
		counter("history_expired_total", "Messages given up when their time had come.", func(st *Stats) int64 { return st.History.Expired }),
		counter("history_resumes_total", "Resumes from a position.", func(st *Stats) int64 { return st.History.Resumed }),
		counter("history_gaps_total", "Resumes that were not told all that they had missed.", func(st *Stats) int64 { return st.History.Gaps }),
	}
}

func workMetrics() []metric {
	return []metric{
		counter("received_bytes_total", "Bytes read from connections of the comet listener.", func(st *Stats) int64 { return st.Work.Loop.In }),
		counter("sent_bytes_total", "Bytes written to connections of the comet listener.", func(st *Stats) int64 { return st.Work.Loop.Out }),
		gauge("pending_bytes", "Memory of output that the kernel has not taken yet.", func(st *Stats) int64 { return st.Conns.Pending }),
		histogram("loop_turn_events", "What came to one turn of a loop: posts, ready sockets and deadlines.", func(st *Stats) meter.Histogram { return st.Work.Loop.Batch }),
		histogram("loop_turn_duration_seconds", "How long a turn of a loop took.", func(st *Stats) meter.Histogram { return st.Work.Loop.Turn }),
		histogram("loop_lag_seconds", "For how long the oldest post or deadline of a turn had been due when it began.", func(st *Stats) meter.Histogram { return st.Work.Loop.Lag }),
		histogram("message_write_duration_seconds", "From a message's post to its loop until the kernel had it; of one in 64.", func(st *Stats) meter.Histogram { return st.Work.Loop.Written }),
		histogram("login_duration_seconds", "What the router took for a login; of one in 16.", func(st *Stats) meter.Histogram { return st.Work.Login }),
		histogram("send_duration_seconds", "What it took to hand a message over to loops or NATS; of one in 64 of a publisher's stream, and its first.", func(st *Stats) meter.Histogram { return st.Work.Send }),
	}
}

func memoryMetrics() []metric {
	return []metric{
		by(prometheus.GaugeValue, "memory_bytes", "Memory of the Go runtime.", "class", func(st *Stats, put func(int64, string)) {
			put(int64(st.Memory.Heap), "heap")
			put(int64(st.Memory.Stacks), "stacks")
			put(int64(st.Memory.Idle), "idle")
			put(int64(st.Memory.Released), "released")
			put(int64(st.Memory.Total), "total")
		}),
		counter("gc_cycles_total", "Garbage collections.", func(st *Stats) int64 { return int64(st.Memory.GCs) }),
		{name: "uptime_seconds", help: "Time since the start.", kind: prometheus.GaugeValue, read: func(st *Stats, put func(float64, ...string)) { put(st.Uptime) }},
		gauge("draining", "1 while the server ends in order.", func(st *Stats) int64 { return truth(st.Draining) }),
	}
}

func clusterMetrics() []metric {
	return []metric{
		gauge("messages_forwarded", "Messages without a session here that other nodes were sent, unless nobody wanted them.", func(st *Stats) int64 { return st.Ledger.Forwarded }),
		counter("messages_received_total", "Messages that came from other nodes or from publishers on NATS.", func(st *Stats) int64 { return st.Ledger.Received }),
		counter("messages_unpublished_total", "Messages without a session here while NATS could not be reached.", func(st *Stats) int64 { return st.Ledger.Unpublished }),
		counter("messages_overrun_total", "Messages for this node thrown away because too many waited.", func(st *Stats) int64 { return st.Ledger.Overrun }),
		gauge("cluster_connected", "1 while there is a connection to NATS.", func(st *Stats) int64 { return truth(st.Cluster.Connected) }),
		gauge("cluster_subscribed_ids", "Ids that NATS knows this node by.", func(st *Stats) int64 { return int64(st.Cluster.Subscribed) }),
		gauge("cluster_waiting_logins", "Logins and logouts that NATS is still to hear of.", func(st *Stats) int64 { return int64(st.Cluster.Waiting) }),
		counter("cluster_outages_total", "Times that the connection to NATS was lost.", func(st *Stats) int64 { return int64(st.Cluster.Outages) }),
		counter("cluster_slow_consumers_total", "Connections that the embedded NATS server has cut off for their slowness.", func(st *Stats) int64 { return st.Cluster.SlowConsumers }),
	}
}

// workerStates are those of WorkerStats.
var workerStates = [...]string{"over", "running", "starting", "stuck", "waiting"}

func workerMetrics() []metric {
	each := func(kind prometheus.ValueType, name, help string, read func(w *WorkerStats) int64) metric {
		return by(kind, name, help, "worker", func(st *Stats, put func(int64, string)) {
			for i := range st.Workers {
				put(read(&st.Workers[i]), strconv.Itoa(st.Workers[i].Index))
			}
		})
	}
	return []metric{
		by(prometheus.GaugeValue, "workers", "Processes that hold the connections.", "state", func(st *Stats, put func(int64, string)) {
			for _, state := range workerStates {
				n := int64(0)
				for _, w := range st.Workers {
					n += truth(w.State == state)
				}
				put(n, state)
			}
		}),
		each(prometheus.CounterValue, "worker_restarts_total", "How often a worker was started again.", func(w *WorkerStats) int64 { return int64(w.Restarts) }),
		each(prometheus.GaugeValue, "worker_connections", "Connections that a worker holds.", func(w *WorkerStats) int64 { return w.Conns.Open }),
	}
}

func truth(is bool) int64 {
	if is {
		return 1
	}
	return 0
}
