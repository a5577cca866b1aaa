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
		{"pid", Target{PID: 201}, 201, nil, nil},
		{"pid of its own parent", Target{PID: 100}, 100, nil, nil},
		{"no such pid", Target{PID: 999999}, 0, ErrNoTarget, []string{"pid 999999", "9 processes"}},
		{"name, not the shell that asks for it", name("name n1"), 200, nil, nil},
		{"several", name("^erl"), 0, ErrSeveral, []string{"--pid", "^erl", "pid 200 (erl -sname n1)", "pid 201 (erl -sname n2)"}},
		{"no such name", name("nginx"), 0, ErrNoTarget, []string{`"nginx"`, "pid 301 (cometctl flood serve)", "pid 200 (erl -sname n1)"}},
		{"a name that everything matches is not a kernel thread", name("^$"), 0, ErrNoTarget, nil},
		{"port", Target{Port: 8000}, 200, nil, nil},
		{"serve", Target{}, 300, nil, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := tt.target.choose(table, 101)
			if p.pid != tt.pid || !errors.Is(err, tt.err) {
				t.Errorf("got pid %d, error %v; want %d, %v", p.pid, err, tt.pid, tt.err)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("the error does not say %q:\n%v", s, err)
				}
			}
		})
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
