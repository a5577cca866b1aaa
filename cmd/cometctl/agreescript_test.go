package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// Three who count the same things and know nothing of each other: the kernel, the server, and flood. What they say must be equal to the last
// connection and message, whatever was cut.

// floodSaid is the last line of progress in a file.
func floodSaid(ts *testscript.TestScript, file string) (p struct{ Open, Messages, Missing, Duplicated int }) {
	text, _ := os.ReadFile(ts.MkAbs(file))
	for _, line := range bytes.Split(text, []byte("\n")) {
		_ = json.Unmarshal(line, &p) // the last one may still be being written, others are for people
	}
	return p
}

// briefly is a client whose connections are gone with the answer: memlog counts those to the admin listener as well.
func briefly() *http.Client { return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}} }

// serverSaid is what a server tells of itself.
func serverSaid(admin string) (s struct {
	Conns  struct{ Open int }
	Ledger struct{ Sent, Delivered, Offline, Dropped, Gone, Pending int }
}, err error) {
	answer, err := briefly().Get("http://" + admin + "/stats")
	if err != nil {
		return s, err
	}
	defer answer.Body.Close()
	return s, json.NewDecoder(answer.Body).Decode(&s)
}

// established counts the connections to a port of loopback in /proc/net/tcp and tcp6, by their server's end and by their client's.
func established(port int) (servers, clients int) {
	end := fmt.Sprintf(":%04X", port)
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(file)
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line) // sl local remote state ...
			if len(f) < 4 || f[3] != "01" {
				continue
			}
			if strings.HasSuffix(f[1], end) {
				servers++
			}
			if strings.HasSuffix(f[2], end) {
				clients++
			}
		}
	}
	return servers, clients
}

// until tries what is asked again until it holds, and fails with its words where it never does.
func until(ts *testscript.TestScript, holds func() (string, bool)) {
	var words string
	for deadline := time.Now().Add(awaitLimit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var ok bool
		if words, ok = holds(); ok {
			return
		}
	}
	ts.Fatalf("%s", words)
}

func scriptAgree(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 4, "agree N PORT ADMIN FILE")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	port, err := strconv.Atoi(args[1])
	ts.Check(err)
	until(ts, func() (string, bool) {
		servers, clients := established(port)
		held, open := n, floodSaid(ts, args[3]).Open
		if args[2] != "-" {
			s, err := serverSaid(args[2])
			if held = s.Conns.Open; err != nil {
				return err.Error(), false
			}
		}
		return fmt.Sprintf("agree: the kernel has %d ends of the server and %d of its clients, the server %d, flood %d; want %d of each", servers, clients, held, open, n),
			servers == n && clients == n && held == n && open == n
	})
}

func scriptLedger(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 3, "ledger N ADMIN FILE")
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	until(ts, func() (string, bool) {
		s, err := serverSaid(args[1])
		p, l := floodSaid(ts, args[2]), s.Ledger
		return fmt.Sprintf("ledger: %+v, %v; flood %+v; want %d sent, and as many messages as were delivered", l, err, p, n),
			err == nil && l.Sent == n && l.Delivered+l.Offline+l.Dropped+l.Gone == n && l.Pending == 0 && p.Messages == l.Delivered && p.Duplicated == 0
	})
}

func scriptCut(ts *testscript.TestScript, neg bool, args []string) {
	scriptUsage(ts, neg, len(args) == 3, "cut ADMIN FROM TO")
	from, err := strconv.Atoi(args[1])
	ts.Check(err)
	to, err := strconv.Atoi(args[2])
	ts.Check(err)
	for id := from; id <= to; id++ {
		req, err := http.NewRequest(http.MethodDelete, fmt.Sprintf("http://%s/who/%d", args[0], id), nil)
		ts.Check(err)
		answer, err := briefly().Do(req)
		ts.Check(err)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			ts.Fatalf("cut: %d: %s", id, answer.Status)
		}
	}
}
