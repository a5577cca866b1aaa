package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The commands that our scripts have besides testscript's own:
//
//	exitcode N PROGRAM ARGS...       run to the end, demand exit code N; stdout and stderr can be matched after it
//	freeport VAR                     put a TCP port that nobody listens on into $VAR
//	start NAME PROGRAM ARGS...       run in the background; what it prints grows in the files NAME.out and NAME.err
//	await FILE REGEXP                wait until REGEXP matches in FILE, 20 s at most
//	signal NAME INT|TERM|KILL|HUP    send a signal to what was started
//	finish NAME N                    wait for its end, demand exit code N
//	serve NAME ARGS...               start `cometctl serve` on free ports and wait until it is ready; its addresses
//	                                 are $NAME_listen and $NAME_admin (host:port; $NAME_port of the first), its pid is $NAME_pid, an
//	                                 embedded NATS server's URL is $NAME_nats
//	certificate NAME VALID CERT KEY  write a certificate for NAME, valid for VALID from now (-1m: not any more), and its key to files
//	served HOST:PORT NAME            ask for a stream's head by https, demand the certificate of NAME
//	otherclock VAR AHEAD             put the URL of a server into $VAR whose GET /clock is ahead of ours by a time such as 1h or -5s
//	agree N PORT ADMIN FILE          wait until N connections are open to PORT by four counts: the kernel's, of both ends; the server's at
//	                                 ADMIN (-: it is gone); and that of the flood whose JSON progress is in FILE (Linux)
//	ledger N ADMIN FILE              wait until the server at ADMIN has taken N messages, all of them are accounted for, and the flood whose
//	                                 progress is in FILE has those that the ledger calls delivered, no more and no fewer
//	cut ADMIN FROM TO                end the sessions of the ids FROM to TO
//	json FILE PATH OP VALUE          FILE (or stdout) holds one JSON value; compare the one at PATH (a.b.c, numbers index
//	                                 arrays, an empty path '.' is the whole) with VALUE; OP is == != < <= > >=
//
// A flood or msggen that was kept from its processor, as may be on a machine that is busy with tests, and says so, ends as what it says besides
// (busyscript_test.go). Whatever is still running when a script ends is killed.
func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"exitcode":    scriptExitCode,
		"freeport":    scriptFreePort,
		"start":       scriptStart,
		"await":       scriptAwait,
		"signal":      scriptSignal,
		"finish":      scriptFinish,
		"serve":       scriptServe,
		"json":        scriptJSON,
		"certificate": scriptCertificate,
		"served":      scriptServed,
		"otherclock":  scriptOtherClock,
		"agree":       scriptAgree,
		"ledger":      scriptLedger,
		"cut":         scriptCut,
	}
}

// scriptCondition knows the one condition that our scripts have besides testscript's own: [root].
func scriptCondition(cond string) (bool, error) {
	if cond != "root" {
		return false, fmt.Errorf("no condition is called %q", cond)
	}
	return os.Geteuid() == 0, nil
}

// awaitLimit bounds every wait of a script. It is generous: it is only ever
// reached by a test that fails.
const awaitLimit = 20 * time.Second

type jobsKey struct{}

// jobs are the programs that a script has started.
type jobs struct {
	mu   sync.Mutex
	byID map[string]*job
}

// job is one of them.
type job struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended and been waited for
}

func setupScript(env *testscript.Env) error {
	env.Values[jobsKey{}] = &jobs{byID: map[string]*job{}}
	env.Setenv("NO_COLOR", "1")
	return nil
}

func scriptUsage(ts *testscript.TestScript, neg, ok bool, usage string) {
	if neg {
		ts.Fatalf("unsupported: ! %s", usage)
	}
	if !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

func scriptExitCode(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) >= 2, "exitcode N PROGRAM ARGS...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if !exitsAs(got, want, ts.ReadFile("stderr")) {
		ts.Fatalf("%s ended with exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func scriptFreePort(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 1, "freeport VAR")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	ts.Check(err)
	ts.Check(l.Close())
	ts.Setenv(args[0], port)
}

func scriptStart(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) >= 2, "start NAME PROGRAM ARGS...")
	name := args[0]
	path := args[1]
	if path == "cometctl" {
		var err error
		path, err = exec.LookPath("cometctl")
		ts.Check(err)
	}
	out, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	defer out.Close()
	errs, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	defer errs.Close()

	j := &job{cmd: exec.Command(path, args[2:]...), done: make(chan struct{})}
	j.cmd.Dir = ts.MkAbs(".")
	j.cmd.Env = append(os.Environ(), "NO_COLOR=1", "TMPDIR="+ts.Getenv("TMPDIR"))
	j.cmd.Stdout, j.cmd.Stderr = out, errs
	ts.Check(j.cmd.Start())
	go func() { j.cmd.Wait(); close(j.done) }()

	all := ts.Value(jobsKey{}).(*jobs)
	all.mu.Lock()
	defer all.mu.Unlock()
	if all.byID[name] != nil {
		ts.Fatalf("start: %s is taken", name)
	}
	all.byID[name] = j
	ts.Defer(func() {
		j.cmd.Process.Kill()
		<-j.done
	})
}

func findJob(ts *testscript.TestScript, name string) *job {
	all := ts.Value(jobsKey{}).(*jobs)
	all.mu.Lock()
	defer all.mu.Unlock()
	j := all.byID[name]
	if j == nil {
		ts.Fatalf("nothing called %s was started", name)
	}
	return j
}

func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 2, "await FILE REGEXP")
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	var text []byte
	for deadline := time.Now().Add(awaitLimit); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		text, _ = os.ReadFile(ts.MkAbs(args[0]))
		if re.Match(text) {
			return
		}
	}
	ts.Fatalf("await: no match for %q in %s:\n%s", args[1], args[0], text)
}

func scriptSignal(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 2, "signal NAME INT|TERM|KILL|HUP")
	signals := map[string]os.Signal{"INT": os.Interrupt, "TERM": syscall.SIGTERM, "KILL": os.Kill, "HUP": syscall.SIGHUP}
	sig, ok := signals[args[1]]
	if !ok {
		ts.Fatalf("signal: %s is not INT, TERM, KILL or HUP", args[1])
	}
	if runtime.GOOS == "windows" && sig != os.Kill {
		ts.Fatalf("signal: no %s on windows; guard the script with [unix]", args[1])
	}
	ts.Check(findJob(ts, args[0]).cmd.Process.Signal(sig))
}

func scriptFinish(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 2, "finish NAME N")
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	j := findJob(ts, args[0])
	select {
	case <-j.done:
	case <-time.After(awaitLimit):
		ts.Fatalf("finish: %s is still running after %s", args[0], awaitLimit)
	}
	errs, _ := os.ReadFile(ts.MkAbs(args[0] + ".err"))
	if got := j.cmd.ProcessState.ExitCode(); !exitsAs(got, want, string(errs)) {
		ts.Fatalf("%s ended with %s, want exit code %d; it said:\n%s", args[0], j.cmd.ProcessState, want, errs)
	}
}

func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) >= 1, "serve NAME ARGS...")
	name := args[0]
	line := []string{name, "cometctl", "serve", "--admin", "127.0.0.1:0", "--json"}
	if !slices.Contains(args, "--router-only") {
		line = append(line, "--listen", "127.0.0.1:0")
	}
	scriptStart(ts, false, append(line, args[1:]...))
	j := findJob(ts, name)
	for deadline := time.Now().Add(awaitLimit); ; time.Sleep(10 * time.Millisecond) {
		out, _ := os.ReadFile(ts.MkAbs(name + ".out"))
		if line, _, whole := bytes.Cut(out, []byte("\n")); whole {
			var ready struct {
				Listen, Admin, NATS string
				Pid                 int
			}
			ts.Check(json.Unmarshal(line, &ready))
			ts.Setenv(name+"_listen", ready.Listen)
			ts.Setenv(name+"_port", ready.Listen[strings.LastIndexByte(ready.Listen, ':')+1:])
			ts.Setenv(name+"_admin", ready.Admin)
			ts.Setenv(name+"_pid", strconv.Itoa(ready.Pid))
			ts.Setenv(name+"_nats", ready.NATS)
			return
		}
		ended := false
		select {
		case <-j.done:
			ended = true
		default:
		}
		if ended || time.Now().After(deadline) {
			errs, _ := os.ReadFile(ts.MkAbs(name + ".err"))
			ts.Fatalf("serve: %s did not become ready; it said:\n%s", name, errs)
		}
	}
}

func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 4, "json FILE PATH OP VALUE")
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &v); err != nil {
		ts.Fatalf("json: %s: %v", args[0], err)
	}
	for _, key := range strings.FieldsFunc(args[1], func(r rune) bool { return r == '.' }) {
		switch in := v.(type) {
		case map[string]any:
			next, ok := in[key]
			if !ok {
				ts.Fatalf("json: %s has no %q of %s", args[0], key, args[1])
			}
			v = next
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(in) {
				ts.Fatalf("json: %s: no element %q of %s in an array of %d", args[0], key, args[1], len(in))
			}
			v = in[i]
		default:
			ts.Fatalf("json: %s: nothing lies under %q of %s", args[0], key, args[1])
		}
	}
	if ok, err := compareJSON(v, args[2], args[3]); err != nil || !ok {
		ts.Fatalf("json: %s: %s is %v, want %s %s %v", args[0], args[1], v, args[2], args[3], errors.Join(err))
	}
}

// compareJSON compares numbers as numbers and everything else as text.
func compareJSON(v any, op, want string) (bool, error) {
	cmp := 0
	if n, ok := v.(float64); ok {
		w, err := strconv.ParseFloat(want, 64)
		if err != nil {
			return false, err
		}
		switch {
		case n < w:
			cmp = -1
		case n > w:
			cmp = 1
		}
	} else {
		text, ok := v.(string)
		if !ok {
			b, err := json.Marshal(v)
			if err != nil {
				return false, err
			}
			text = string(b)
		}
		cmp = strings.Compare(text, want)
	}
	switch op {
	case "==":
		return cmp == 0, nil
	case "!=":
		return cmp != 0, nil
	case "<":
		return cmp < 0, nil
	case "<=":
		return cmp <= 0, nil
	case ">":
		return cmp > 0, nil
	case ">=":
		return cmp >= 0, nil
	}
	return false, errors.New("json: unknown operator " + op)
}
