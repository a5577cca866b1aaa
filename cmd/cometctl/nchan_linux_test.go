package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"cometctl/flood"
	"cometctl/msggen"
)

// nginx with nchan, where it is installed, counts what flood and msggen count, to the digit: subscribers, messages published, and
// (by the status of its answers) messages that found a subscriber, also when it has cut some off.
func TestNchanCountsTheSame(t *testing.T) {
	const conns, cut, each = 200, 20, 500
	base := startNchan(t)
	status := func() (published, subscribers uint64) {
		text := fetch(t, http.MethodGet, base+"/status")
		return nchanCount(t, text, "total published messages"), nchanCount(t, text, "subscribers")
	}
	header, err := flood.ParseHeader([]string{"TE: chunked"})
	if err != nil {
		t.Fatal(err)
	}
	targets, err := flood.LoadTargets([]string{fmt.Sprintf("%s/test/{1..%d}", base, conns)}, nil, flood.Rules{Header: header})
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan flood.Progress, 1)
	f, err := flood.New(flood.Config{Targets: targets, Every: 10 * time.Millisecond, Watch: func(p flood.Progress) {
		select {
		case <-seen:
		default:
		}
		seen <- p
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	results := make(chan flood.Result, 1)
	go func() {
		r, err := f.Run(ctx)
		if err != nil {
			t.Error(err)
		}
		results <- r
	}()
	defer stop()
	wait := func(what string, done func(flood.Progress) bool) {
		t.Helper()
		patience := time.After(20 * time.Second)
		for {
			select {
			case p := <-seen:
				if done(p) {
					return
				}
			case <-patience:
				t.Fatalf("%s: not within 20 s", what)
			}
		}
	}
	send := func() msggen.Result {
		t.Helper()
		r, err := msggen.Run(t.Context(), msggen.Config{To: "POST " + base + "/send/{id}", IDs: conns, Count: each, Seed: 1})
		if err != nil || r.Accepted != each {
			t.Fatalf("%d messages were accepted, %v", r.Accepted, err)
		}
		return r
	}

	wait("all are open", func(p flood.Progress) bool { return p.Open == conns })
	first := send()
	wait("all messages have come", func(p flood.Progress) bool { return p.Messages == first.Status[201] })
	if published, subscribers := status(); published != each || subscribers != conns || first.Status[201] != each {
		t.Errorf("nchan has published %d messages to %d subscribers, %d found one; %d, %d and %d were sent", published, subscribers,
			first.Status[201], each, conns, each)
	}

	for id := 1; id <= cut; id++ { // a channel that is deleted ends its subscribers
		fetch(t, http.MethodDelete, fmt.Sprintf("%s/send/%d", base, id))
	}
	wait("those are gone", func(p flood.Progress) bool { return p.ClosedEarly == cut })
	second := send()
	reached := first.Status[201] + second.Status[201]
	wait("the other messages have come", func(p flood.Progress) bool { return p.Messages == reached })
	published, subscribers := status()
	stop()
	r := <-results
	if published != 2*each || subscribers != uint64(r.Open) || r.Open != conns-cut || r.ClosedEarly != cut {
		t.Errorf("nchan has published %d messages and has %d subscribers; flood held %d to the end, %d ended early", published,
			subscribers, r.Open, r.ClosedEarly)
	}
	if second.Status[201]+second.Status[202] != each || second.Status[202] == 0 {
		t.Errorf("nchan answered %d times 201 and %d times 202: %d in all, and some to nobody", second.Status[201], second.Status[202], each)
	}
	if r.Messages != reached || r.Missing != 0 || r.Duplicated != 0 || r.Reordered != 0 {
		t.Errorf("%d messages were received, %d found a subscriber; %d missing, %d repeated, %d out of order", r.Messages, reached,
			r.Missing, r.Duplicated, r.Reordered)
	}
}

// startNchan starts nginx with nchan on a free port of loopback, and returns its URL.
func startNchan(t *testing.T) string {
	t.Helper()
	const module = "/usr/lib/nginx/modules/ngx_nchan_module.so"
	nginx := "/usr/sbin/nginx"
	for _, file := range []string{nginx, module} {
		if _, err := os.Stat(file); err != nil {
			t.Skipf("%v: apt-get install nginx-light libnginx-mod-nchan", err)
		}
	}
	dir := t.TempDir()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := socket.Addr().String()
	socket.Close()
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, nchanStatusConf, module, listen), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(nginx, "-p", dir, "-c", conf, "-g", "daemon off;")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var words strings.Builder
	cmd.Stderr = &words
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		cmd.Wait()
	})
	for range 500 {
		if c, err := net.Dial("tcp", listen); err == nil {
			c.Close()
			return "http://" + listen
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("nginx does not listen on %s: %s", listen, words.String())
	return ""
}

// nchanStatusConf is nginx's configuration: module, address.
const nchanStatusConf = `load_module %s;
worker_processes 1;
pid nginx.pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
  access_log off;
  client_body_temp_path body;
  nchan_shared_memory_size 64M;
  server {
    listen %s;
    location ~ ^/test/(.+)$ { nchan_channel_id $1; nchan_subscriber http-chunked; }
    location ~ ^/send/(.+)$ { nchan_channel_id $1; nchan_publisher; nchan_message_buffer_length 0; }
    location = /status { nchan_stub_status; }
  }
}
`

func fetch(t *testing.T, method, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v", method, url, answer.Status, err)
	}
	return string(text)
}

// nchanCount is a number of nchan_stub_status.
func nchanCount(t *testing.T, text, name string) uint64 {
	t.Helper()
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no %q in\n%s", name, text)
	return 0
}
