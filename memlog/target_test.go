package memlog

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

var table = []process{
	{pid: 1, ppid: 0, args: []string{"/sbin/init"}},
	{pid: 2, ppid: 0}, // a thread of the kernel
	{pid: 100, ppid: 1, args: []string{"sh", "-c", "cometctl memlog --name n1"}},
	{pid: 101, ppid: 100, args: []string{"cometctl", "memlog", "--name", "n1"}},             // self
	{pid: 102, ppid: 1, args: []string{"/usr/bin/cometctl", "memlog", "--name", "name n1"}}, // another
	{pid: 200, ppid: 1, args: []string{"erl", "-sname", "n1"}, ports: []int{4369, 8000}},
	{pid: 201, ppid: 1, args: []string{"erl", "-sname", "n2"}},
	{pid: 300, ppid: 1, args: []string{"/opt/bin/cometctl-v2", "serve", "--listen", ":80"}},
	{pid: 301, ppid: 1, args: []string{"cometctl", "flood", "serve"}},
	{pid: 310, ppid: 300, args: []string{"/opt/bin/cometctl-v2", "serve-worker", "--index", "0"}, ports: []int{80}},
	{pid: 400, ppid: 1, args: []string{"nginx: master process"}, ports: []int{443}},
	{pid: 401, ppid: 400, args: []string{"nginx: cache manager"}},
	{pid: 402, ppid: 400, args: []string{"nginx: worker process"}, ports: []int{443}},
	{pid: 403, ppid: 401, args: []string{"nginx: worker process"}, ports: []int{443}}, // a grandchild
}

func TestChoose(t *testing.T) {
	name := func(s string) Target { return Target{Name: regexp.MustCompile(s)} }
	tests := []struct {
		name   string
		target Target
		pid    int   // 0: an error
		err    error // and which
		says   []string
	}{
		{"pid", Target{PIDs: []int{201}}, 201, nil, nil},
		{"pid of its own parent", Target{PIDs: []int{100}}, 100, nil, nil},
		{"no such pid", Target{PIDs: []int{999999}}, 0, ErrNoTarget, []string{"pid 999999", "14 processes"}},
		{"name, not the shell that asks for it", name("name n1"), 200, nil, nil},
		{"several", name("^erl"), 0, ErrSeveral, []string{"--pid", "^erl", "pid 200 (erl -sname n1)", "pid 201 (erl -sname n2)"}},
		{"no such name", name("haproxy"), 0, ErrNoTarget, []string{`"haproxy"`, "pid 301 (cometctl flood serve)", "pid 200 (erl -sname n1)"}},
		{"a name that everything matches is not a kernel thread", name("^$"), 0, ErrNoTarget, nil},
		{"port", Target{Port: 8000}, 200, nil, nil},
		{"serve, not its workers", Target{}, 300, nil, nil},
		{"a group that shares a port", Target{Port: 443}, 400, nil, nil},
		{"a group by its name", name("^nginx"), 400, nil, nil},
		{"workers without their master", name("worker process$"), 0, ErrSeveral, []string{"pid 402", "pid 403"}},
		{"one of them", Target{PIDs: []int{402}}, 402, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ps, err := tt.target.choose(table, 101)
			if len(ps) > 1 || len(ps) == 1 && ps[0].pid != tt.pid || len(ps) == 0 && tt.pid != 0 || !errors.Is(err, tt.err) {
				t.Errorf("got %v, error %v; want pid %d, %v", ps, err, tt.pid, tt.err)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("the error does not say %q:\n%v", s, err)
				}
			}
		})
	}
}

func TestChooseSeveralPIDs(t *testing.T) {
	ps, err := Target{PIDs: []int{402, 200, 402}}.choose(table, 101)
	if err != nil || len(ps) != 2 || ps[0].pid != 200 || ps[1].pid != 402 {
		t.Errorf("got %v, %v", ps, err)
	}
	_, err = Target{PIDs: []int{402, 888888, 200, 999999}}.choose(table, 101)
	if !errors.Is(err, ErrNoTarget) || !strings.Contains(err.Error(), "looked for pid 888888, 999999 among") {
		t.Errorf("two that are not there: %v", err)
	}
}

func TestChooseFromManyOrNone(t *testing.T) {
	many := make([]process, 50)
	for i := range many {
		many[i] = process{pid: i + 1, args: []string{"worker\twith a tab"}, ports: []int{80}}
	}
	_, err := Target{Port: 80}.choose(many, 1000)
	if n := strings.Count(err.Error(), "\n"); n != 11 || !strings.HasSuffix(err.Error(), "and 40 more") || strings.Contains(err.Error(), "\t") {
		t.Errorf("the list of 50 is %d lines:\n%v", n, err)
	}
	_, err = Target{}.choose(nil, 1000)
	if !errors.Is(err, ErrNoTarget) || !strings.Contains(err.Error(), "saw no other process") {
		t.Errorf("empty table: %v", err)
	}
	// A table whose parents form a ring must not hang the search for kin.
	ring := []process{{pid: 5, ppid: 6, args: []string{"x"}}, {pid: 6, ppid: 5, args: []string{"x"}}}
	if _, err := (Target{Name: regexp.MustCompile("x")}).choose(ring, 5); !errors.Is(err, ErrNoTarget) {
		t.Errorf("ring: %v", err)
	}
}

func TestListeners(t *testing.T) {
	if got := listeners(table[:3]); got != "; nobody is seen to listen on any TCP port" {
		t.Errorf("nobody: %q", got)
	}
	got := listeners([]process{
		{pid: 9, args: []string{"late"}, ports: []int{8001, 8000, 8001}},
		{pid: 8, args: []string{"none"}},
		{pid: 7, args: []string{"early"}, ports: []int{80}},
	})
	if want := "; there are\n  port 80: pid 7 (early)\n  port 8000, 8001: pid 9 (late)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestProcessNameIsShort(t *testing.T) {
	p := process{pid: 7, args: []string{strings.Repeat("é", 500)}}
	if s := p.String(); len(s) > 200 || !strings.HasSuffix(s, "...)") || !strings.Contains(s, "é...") {
		t.Errorf("%d bytes: %s", len(s), s)
	}
}
