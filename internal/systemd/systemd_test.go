package systemd

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// env makes a getenv of NAME=VALUE pairs.
func env(pairs ...string) func(string) string {
	return func(name string) string {
		for _, p := range pairs {
			if k, v, _ := strings.Cut(p, "="); k == name {
				return v
			}
		}
		return ""
	}
}

// manager is the other end: what it was told comes from next, "" for nothing.
func manager(t *testing.T) (path string, next func() string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("no unixgram")
	}
	path = filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	return path, func() string { return received(t, raw) }
}

func find(t *testing.T, pairs ...string) Manager {
	t.Helper()
	m, err := Find(env(pairs...), 7)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMessages(t *testing.T) {
	path, next := manager(t)
	m := find(t, "NOTIFY_SOCKET="+path)
	for _, c := range []struct {
		tell func() error
		want string
	}{
		{func() error { return m.Ready("at 127.0.0.1:8000") }, "READY=1\nSTATUS=at 127.0.0.1:8000"},
		{func() error { return m.Stopping("3 connections") }, "STOPPING=1\nSTATUS=3 connections"},
		{func() error { return m.Extend(1500*time.Millisecond, "draining\nREADY=1\r") }, "EXTEND_TIMEOUT_USEC=1500000\nSTATUS=draining READY=1 "},
	} {
		if err := c.tell(); err != nil {
			t.Fatal(err)
		}
		if got := next(); got != c.want {
			t.Errorf("told %q, want %q", got, c.want)
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	var before int64
	for range 2 {
		if err := m.Reloading(); err != nil {
			t.Fatal(err)
		}
		usec, ok := strings.CutPrefix(next(), "RELOADING=1\nMONOTONIC_USEC=")
		at, err := strconv.ParseInt(usec, 10, 64)
		if !ok || err != nil || at <= before {
			t.Errorf("told of a reload at %q, after %d", usec, before)
		}
		before = at
	}
}

func TestNobody(t *testing.T) {
	for _, m := range []Manager{{}, find(t, "WATCHDOG_USEC=1000000")} {
		for _, err := range []error{m.Ready("x"), m.Stopping("x"), m.Extend(time.Second, "x")} {
			if err != nil {
				t.Error(err)
			}
		}
		m.Watch(t.Context(), func(context.Context) error { t.Error("asked"); return nil }, nil)
	}
	gone := find(t, "NOTIFY_SOCKET="+filepath.Join(t.TempDir(), "gone"))
	if err := gone.Ready("x"); err == nil || !strings.Contains(err.Error(), "systemd: telling the service manager: ") {
		t.Errorf("a manager that is gone: %v", err)
	}
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		vars     []string
		watchdog time.Duration
		says     string // the error
	}{
		{[]string{"NOTIFY_SOCKET=/x"}, 0, ""},
		{[]string{"NOTIFY_SOCKET=@x", "WATCHDOG_USEC=30000000"}, 30 * time.Second, ""},
		{[]string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=30000000", "WATCHDOG_PID=7"}, 30 * time.Second, ""},
		{[]string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=30000000", "WATCHDOG_PID=8"}, 0, ""},
		{[]string{"NOTIFY_SOCKET=x"}, 0, "NOTIFY_SOCKET=x"},
		{[]string{"NOTIFY_SOCKET=vsock:2:1"}, 0, "NOTIFY_SOCKET=vsock:2:1"},
		{[]string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=30s"}, 0, "WATCHDOG_USEC=30s: want microseconds"},
		{[]string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=0"}, 0, "WATCHDOG_USEC=0"},
		{[]string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=-5"}, 0, "WATCHDOG_USEC=-5"},
		{[]string{"NOTIFY_SOCKET=/x", "WATCHDOG_USEC=9223372036854775807"}, 0, "WATCHDOG_USEC=9223372036854775807"},
	} {
		m, err := Find(env(c.vars...), 7)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || m.watchdog != c.watchdog {
			t.Errorf("%q: %+v, %v", c.vars, m, err)
		}
	}
}

// The manager hears of us while we are well, and only then.
func TestWatch(t *testing.T) {
	path, next := manager(t)
	m := find(t, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=2000000")
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		stuck := errors.New("stuck")
		other := errors.New("other")
		ways := []error{nil, stuck, nil, other}
		var way atomic.Int32
		var failed []error
		done := make(chan bool)
		go func() {
			defer close(done)
			m.Watch(ctx, func(ctx context.Context) error {
				is := ways[way.Load()]
				if is == stuck {
					<-ctx.Done() // as long as it takes to know
				}
				return is
			}, func(err error) { failed = append(failed, err) })
		}()
		var beats []int
		for i := range ways {
			way.Store(int32(i))
			time.Sleep(3 * time.Second)
			synctest.Wait()
			n := 0
			for next() == "WATCHDOG=1" {
				n++
			}
			beats = append(beats, n)
		}
		cancel()
		<-done
		if !slices.Equal(failed, []error{stuck, other}) {
			t.Errorf("failed with %v", failed)
		}
		if len(beats) != 4 || beats[0] < 3 || beats[1] > 1 || beats[2] < 2 || beats[3] > 1 {
			t.Errorf("heard of %d times in each 3 seconds", beats)
		}
	})
}

func TestSocketsRefuses(t *testing.T) {
	for _, c := range []struct {
		vars []string
		says string // the error; empty: there are none
	}{
		{nil, ""},
		{[]string{"LISTEN_FDS=1"}, ""},
		{[]string{"LISTEN_FDS=1", "LISTEN_PID=8"}, ""},
		{[]string{"LISTEN_FDS=0", "LISTEN_PID=7"}, ""},
		{[]string{"LISTEN_FDS=one", "LISTEN_PID=7"}, "LISTEN_FDS=one: want a number"},
		{[]string{"LISTEN_FDS=-1", "LISTEN_PID=7"}, "LISTEN_FDS=-1"},
		{[]string{"LISTEN_FDS=1000000000", "LISTEN_PID=7"}, "LISTEN_FDS=1000000000"},
		{[]string{"LISTEN_FDS=2", "LISTEN_PID=7", "LISTEN_FDNAMES=a"}, "LISTEN_FDNAMES=a: 1 names for 2 sockets"},
		{[]string{"LISTEN_FDS=1", "LISTEN_PID=7", "LISTEN_FDNAMES=a:b"}, "2 names for 1 sockets"},
	} {
		files, err := Sockets(env(c.vars...), 7)
		if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) || len(files) > 0 {
			t.Errorf("%q: %v, %v", c.vars, files, err)
		}
	}
}

// Whatever the environment says, it is a manager that can be told things, none, or an error that names the variable.
func FuzzFind(f *testing.F) {
	f.Add("/run/systemd/notify", "30000000", "7")
	f.Add("@abstract", "0", "")
	f.Add("", "x", "8")
	f.Add("vsock:2:1", "-1", "07")
	f.Add("/x", "9223372036854775", "7")
	f.Fuzz(func(t *testing.T, socket, usec, pid string) {
		m, err := Find(func(name string) string {
			return map[string]string{"NOTIFY_SOCKET": socket, "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}[name]
		}, 7)
		switch {
		case err != nil && (m != Manager{} || !strings.Contains(err.Error(), "NOTIFY_SOCKET=") && !strings.Contains(err.Error(), "WATCHDOG_USEC=")):
			t.Errorf("%+v, %v", m, err)
		case m.watchdog < 0 || m.watchdog > 0 && (socket == "" || pid != "" && pid != "7"):
			t.Errorf("%q %q %q: %+v", socket, usec, pid, m)
		}
	})
}

// The same for sockets, of which there is none: an error, or nobody was meant.
func FuzzSockets(f *testing.F) {
	f.Add("0", "7", "")
	f.Add("2", "7", "a:b:c")
	f.Add("1", "8", "a")
	f.Add("-1", "7", "")
	f.Add("1e3", "7", ":")
	f.Fuzz(func(t *testing.T, fds, pid, names string) {
		if n, err := strconv.Atoi(fds); err == nil && n > 0 && n <= maxSockets && pid == "7" && (names == "" || strings.Count(names, ":") == n-1) {
			t.Skip("it would take descriptors of this process")
		}
		files, err := Sockets(func(name string) string {
			return map[string]string{"LISTEN_FDS": fds, "LISTEN_PID": pid, "LISTEN_FDNAMES": names}[name]
		}, 7)
		if len(files) > 0 || err != nil && pid != "7" || err == nil && pid == "7" && fds != "" && strings.Trim(fds, "+-0") != "" {
			t.Errorf("%q %q %q: %v, %v", fds, pid, names, files, err)
		}
	})
}
