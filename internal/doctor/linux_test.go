package doctor

import (
	"encoding/json"
	"runtime"
	"testing"
	"testing/fstest"
)

func tree(files map[string]string) fstest.MapFS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}

func TestLinux(t *testing.T) {
	var s Snapshot
	linux(tree(map[string]string{
		"proc/sys/kernel/osrelease":                                       "6.18.44-fc\n",
		"proc/sys/fs/nr_open":                                             "1048576\n",
		"proc/sys/fs/file-max":                                            "9223372036854775807\n",
		"proc/sys/fs/file-nr":                                             "980\t30\t2466183\n",
		"proc/sys/fs/epoll/max_user_watches":                              "5491533\n",
		"proc/sys/net/ipv4/ip_local_port_range":                           "32768\t60999\n",
		"proc/sys/net/ipv4/ip_local_reserved_ports":                       "80,32700-32769,40000,60999-61010\n",
		"proc/sys/net/core/somaxconn":                                     "4096\n",
		"proc/sys/net/ipv4/tcp_max_syn_backlog":                           "2048\n",
		"proc/sys/net/ipv4/tcp_syncookies":                                "1\n",
		"proc/sys/net/ipv4/tcp_mem":                                       "287901\t383869\t575802\n",
		"proc/sys/net/ipv4/tcp_rmem":                                      "4096\t131072\t33554432\n",
		"proc/sys/net/ipv4/tcp_wmem":                                      "4096\t16384\t4194304\n",
		"proc/net/sockstat":                                               "sockets: used 16\nTCP: inuse 1 orphan 0 tw 821 alloc 1 mem 97\nUDP: inuse 0 mem 5\n",
		"proc/meminfo":                                                    "MemTotal:       24684096 kB\nMemFree:        21425836 kB\nMemAvailable:   24026332 kB\n",
		"proc/sys/kernel/threads-max":                                     "192731\n",
		"proc/sys/kernel/pid_max":                                         "32768\n",
		"proc/loadavg":                                                    "0.41 0.97 3.37 1/120 30869\n",
		"sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
	}), &s)
	want := Snapshot{OS: "linux", Kernel: "6.18.44-fc", NrOpen: new(int64(1 << 20)), FileMax: new(int64(plenty)), FilesOpen: new(int64(950)),
		Ports: &Ports{32768, 60999, 4}, Somaxconn: new(int64(4096)), SynBacklog: new(int64(2048)), SynCookies: new(int64(1)),
		TCPMem: &Three{287901, 383869, 575802}, TCPPages: new(int64(97)), TCPRmem: &Three{4096, 131072, 33554432}, TCPWmem: &Three{4096, 16384, 4194304},
		Memory: new(int64(24684096 << 10)), Available: new(int64(24026332 << 10)), Threads: new(int64(192731)), Pids: new(int64(32768)), Tasks: new(int64(120)),
		Watches: new(int64(5491533)), Clock: "tsc"}
	if got := text(t, s); got != text(t, want) {
		t.Errorf("read\n%s\nwant\n%s", got, text(t, want))
	}
}

func text(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The tightest group counts, in both versions, and where the path is not to be seen, as in a container, the root of what is.
func TestGroups(t *testing.T) {
	for name, c := range map[string]struct {
		files  map[string]string
		memory *int64
		quota  *float64
		pids   *int64
	}{
		"version 2": {files: map[string]string{
			"proc/self/cgroup": "0::/system.slice/app.service\n",
			"sys/fs/cgroup/system.slice/app.service/memory.max":     "max\n",
			"sys/fs/cgroup/system.slice/app.service/memory.current": "1000\n",
			"sys/fs/cgroup/system.slice/app.service/pids.max":       "512\n",
			"sys/fs/cgroup/system.slice/app.service/cpu.max":        "max 100000\n",
			"sys/fs/cgroup/system.slice/memory.max":                 "5000000\n",
			"sys/fs/cgroup/system.slice/memory.current":             "2000000\n",
			"sys/fs/cgroup/system.slice/cpu.max":                    "150000 100000\n",
		}, memory: new(int64(3_000_000)), quota: new(1.5), pids: new(int64(512))},
		"version 2 in a container": {files: map[string]string{
			"proc/self/cgroup":             "0::/../../elsewhere\n",
			"sys/fs/cgroup/memory.max":     "1000\n",
			"sys/fs/cgroup/memory.current": "5000\n",
		}, memory: new(int64(0))},
		"version 1": {files: map[string]string{
			"proc/self/cgroup": "9:name=systemd:/\n4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n2:pids:/\nnonsense\n0::/\n",
			"sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": "4000\n",
			"sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes": "1000\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":            "9223372036854771712\n",
			"sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us":         "50000\n",
			"sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us":        "100000\n",
			"sys/fs/cgroup/cpu/cpu.cfs_quota_us":                    "-1\n",
			"sys/fs/cgroup/cpu/cpu.cfs_period_us":                   "100000\n",
			"sys/fs/cgroup/pids/pids.max":                           "max\n",
		}, memory: new(int64(3000)), quota: new(0.5)},
		"none": {files: map[string]string{"proc/self/cgroup": "0::/\n"}},
	} {
		var s Snapshot
		linux(tree(c.files), &s)
		if got, want := text(t, []any{s.GroupFree, s.Quota, s.Pids}), text(t, []any{c.memory, c.quota, c.pids}); got != want {
			t.Errorf("%s: memory, quota, tasks are %s, want %s", name, got, want)
		}
	}
}

// What a system tells may be anything. A number is never negative, and never one that was not there.
func FuzzLinux(f *testing.F) {
	f.Add("1 2 3", "0::/a/b")
	f.Add("-1", "4:memory,cpu:/")
	f.Add("18446744073709551615 9 99999999999999999999", "::::")
	f.Add("1-2,5-,-,3", "0::")
	f.Fuzz(func(t *testing.T, words, groups string) {
		files := map[string]string{"proc/self/cgroup": groups}
		for _, name := range []string{"proc/sys/fs/file-max", "proc/sys/fs/file-nr", "proc/sys/net/ipv4/ip_local_port_range", "proc/sys/net/ipv4/ip_local_reserved_ports",
			"proc/sys/net/ipv4/tcp_mem", "proc/net/sockstat", "proc/meminfo", "proc/loadavg", "sys/fs/cgroup/memory.max", "sys/fs/cgroup/cpu.max"} {
			files[name] = words
		}
		files["proc/meminfo"] = "MemAvailable: " + words
		s := Snapshot{Page: 4096, Processors: 1}
		linux(tree(files), &s)
		for name, p := range map[string]*int64{"file-max": s.FileMax, "memory": s.GroupFree, "tasks": s.Tasks} {
			if p != nil && *p < 0 {
				t.Errorf("%q, %q: %s is %d", words, groups, name, *p)
			}
		}
		if p := s.Ports; p != nil && (p.First < 1 || p.Last < p.First || p.Last > 65535 || p.Free() < 0) {
			t.Errorf("%q: ports %+v", words, *p)
		}
		Examine(s, both(1_000_000, 0))
	})
}

func TestRead(t *testing.T) {
	s, err := Read()
	if err != nil {
		t.Fatal(err)
	}
	if s.Processors < 1 || s.OS != runtime.GOOS || s.Page < 1 {
		t.Errorf("%+v", s)
	}
	if runtime.GOOS == "linux" && (s.FileMax == nil || *s.FileMax < 100 || s.Available == nil || *s.Available < 1<<20 || s.Ports == nil || s.Tasks == nil) {
		t.Errorf("this Linux tells %s", text(t, s))
	}
}
