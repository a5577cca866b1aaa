package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// dialect is one way to hold a stream of messages, as flood asks for it.
type dialect struct {
	name   string
	serve  []string // what cometctl serve is told besides
	target string   // behind the host: the path, with %s for the ids
	scheme string
	args   []string // of flood

	nchan     string   // the directive of nginx's location; "" where nchan has none like it
	nchanArgs []string // of flood, for it
}

// dialects are those of the comet listener. The polls of both servers need a history: a message may come between two of them.
var dialects = []dialect{
	{name: "html", target: "/test/%s", scheme: "http", nchan: "http-chunked", nchanArgs: []string{"-H", "TE: chunked"}},
	{name: "lines", target: "/test/%s", scheme: "http", args: []string{"-H", "Accept: application/x-ndjson"}},
	{name: "sse", target: "/events/%s", scheme: "http", args: []string{"--as", "sse"}, nchan: "eventsource", nchanArgs: []string{"--as", "sse"}},
	{name: "ws", target: "/ws/%s", scheme: "ws", nchan: "websocket"},
	{name: "poll", target: "/poll/%s?wait=60s", scheme: "http", serve: []string{"--history", "100"}, args: []string{"--as", "poll"},
		nchan: "longpoll", nchanArgs: []string{"--as", "poll"}},
}

// of is the template of all targets of a server that listens there.
func (d dialect) of(listen, ids string) string {
	return fmt.Sprintf(d.scheme+"://"+listen+d.target, ids)
}

// BenchmarkIdleDialects is what an idle connection of each dialect costs the server, and flood: slopes of the RSS between 5,000 and
// 19,900 connections.
func BenchmarkIdleDialects(b *testing.B) {
	for _, d := range dialects {
		b.Run(d.name, func(b *testing.B) {
			w := newWorld(b)
			s := w.serve(d.serve...)
			measure := func(conns int) (server, client float64) {
				f := w.flood(d.of(s.listen, "{1..%d}"), conns, d.args...)
				time.Sleep(2 * settle)
				server, client = s.rss(b), processRSS(b, f.pid)
				f.finish()
				time.Sleep(settle) // for the server to see that they are gone
				return server, client
			}
			fewServer, fewClient := measure(benchFew)
			manyServer, manyClient := measure(benchMany)
			b.ReportMetric((manyServer-fewServer)/(benchMany-benchFew), "B/conn")
			b.ReportMetric((manyClient-fewClient)/(benchMany-benchFew), "flood-B/conn")
		})
	}
}

// BenchmarkDialects is each dialect beside nchan's same one: first 10,000 connections and 1000 messages per second, each in a request of
// its own; then as fast as it goes to 100 ids with 100 connections each, so that the servers write a hundred times for each
// request.
func BenchmarkDialects(b *testing.B) {
	for _, d := range dialects {
		if d.nchan == "" {
			continue
		}
		b.Run(d.name+"/cometctl", func(b *testing.B) {
			w := newWorld(b)
			s := w.serve(d.serve...)
			w.besides(s.pid, d.of(s.listen, "%s"), "POST "+s.send+"/{id}", d.args)
		})
		b.Run(d.name+"/nchan", func(b *testing.B) {
			w := newWorld(b)
			s := w.nchan(d)
			w.besides(s.pid, d.of(s.listen, "%s"), s.send, d.nchanArgs)
		})
	}
}

// besides measures latency, then throughput, of a server whose targets have %s for the ids.
func (w *world) besides(pid int, target, to string, args []string) {
	const ids, each = 100, 100
	b := w.b
	f := w.flood(fmt.Sprintf(target, "{1..%d}"), benchUsed, args...)
	time.Sleep(settle)
	cpu := treeCPU(b, pid)
	sent := w.msggen(to, "--rate", fmt.Sprint(benchRate), "--duration", benchTraffic.String())
	time.Sleep(settle)
	cpu = treeCPU(b, pid) - cpu
	used := treeRSS(b, pid)
	r := f.finish()
	if r.Latency == nil {
		b.Fatalf("no message came: %+v", r)
	}
	reportLatency(b, "", r.Latency.P50, r.Latency.P99, r.Latency.P999)
	b.ReportMetric(float64(sent-min(r.Messages, sent)), "missing")
	b.ReportMetric(cpu.Seconds(), "cpu-s")
	b.ReportMetric(mega(used), "used-MB")
	time.Sleep(settle)

	list := filepath.Join(b.TempDir(), "urls")
	line := strings.Replace(target, "%s", fmt.Sprintf("{1..%d}", ids), 1) + "\n"
	if err := os.WriteFile(list, []byte(strings.Repeat(line, each)), 0o600); err != nil {
		b.Fatal(err)
	}
	f = w.flood(list, ids*each, append([]string{"--stats-every", "100ms"}, args...)...)
	time.Sleep(settle)
	began := time.Now()
	sent = each * w.msggen(to, "--rate", "0", "--ids", fmt.Sprint(ids), "--duration", benchTraffic.String())
	took := f.allReceived(sent).Sub(began)
	r = f.finish()
	b.ReportMetric(float64(r.Messages)/took.Seconds(), "msgs/s")
	b.ReportMetric(float64(sent-min(r.Messages, sent)), "fast-missing")
}

// nchan starts nginx with nchan, master and worker, on a free port, or skips the benchmark.
func (w *world) nchan(d dialect) *serving {
	const module = "/usr/lib/nginx/modules/ngx_nchan_module.so"
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		nginx = "/usr/sbin/nginx" // which is in the path of root only
	}
	for _, file := range []string{nginx, module} {
		if _, err := os.Stat(file); err != nil {
			w.b.Skipf("nginx with nchan is not installed (%v): apt-get install nginx-light libnginx-mod-nchan", err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.b.Fatal(err)
	}
	listen := ln.Addr().String()
	ln.Close()
	path, _, _ := strings.Cut(d.target, "%s")
	keep := "0"
	if len(d.serve) > 0 {
		keep = "100"
	}
	dir := w.b.TempDir()
	conf := filepath.Join(dir, "nchan.conf")
	text := fmt.Sprintf(nchanConf, module, listen, path, d.nchan, keep)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		w.b.Fatal(err)
	}
	p := w.start(exec.Command(nginx, "-p", dir, "-c", conf, "-g", "daemon off;"), nil)
	p.end = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) } // killed, it would leave its worker behind
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", listen)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			w.b.Fatalf("nginx does not listen on %s: %v\n%s", listen, err, &p.errs)
		}
	}
	time.Sleep(settle)
	return &serving{p, listen, "", "POST http://" + listen + "/send/{id}"}
}

// nchanConf is the configuration of one dialect: module, address, path, subscriber, messages kept per channel.
const nchanConf = `load_module %s;
worker_processes 1;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 20000; }
http {
  access_log off;
  client_body_temp_path body;
  nchan_shared_memory_size 512M;
  keepalive_requests 1000000000;
  server {
    listen %s backlog=4096;
    location ~ ^%s(.+)$ { nchan_channel_id $1; nchan_subscriber %s; }
    location ~ ^/send/(.+)$ { nchan_channel_id $1; nchan_publisher; nchan_message_buffer_length %s; nchan_message_timeout 1m; }
  }
}
`
