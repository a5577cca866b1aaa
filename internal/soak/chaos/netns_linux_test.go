package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func makeNetworks(t *testing.T, sites int) *networks {
	t.Helper()
	if why := canCut(); why != "" {
		t.Skip(why)
	}
	p, err := newNetworks(sites)
	if errors.Is(err, unix.EPERM) || err != nil && strings.Contains(err.Error(), "not permitted") {
		t.Skip(err) // root in a container that may not
	}
	if err != nil {
		t.Fatal(err)
	}
	n := p.(*networks)
	t.Cleanup(func() { n.close() })
	return n
}

// inside runs f on a thread that has entered a namespace and dies with it.
func inside(t *testing.T, n *networks, where string, f func() error) {
	t.Helper()
	if err := n.in(where, f); err != nil {
		t.Fatal(err)
	}
}

// listen listens within a site, and answers each connection with the site's name.
func listen(t *testing.T, n *networks, site int, addr string) {
	t.Helper()
	inside(t, n, n.site(site), func() error {
		ln, err := net.Listen("tcp", addr)
		if err != nil {
			return err
		}
		t.Cleanup(func() { ln.Close() })
		go func() {
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				fmt.Fprintf(c, "site %d", site)
				c.Close()
			}
		}()
		return nil
	})
}

// TestNetworks holds that the hub reaches all sites, that sites reach each other over the backbone, that a cut stops just that and mends, and
// that nothing is left.
func TestNetworks(t *testing.T) {
	n := makeNetworks(t, 2)
	const port = ":7000"
	listen(t, n, 1, accessAddress(1)+port)
	listen(t, n, 2, backboneAddress(2)+port)
	said := func(c net.Conn, err error) string {
		if err != nil {
			return err.Error()
		}
		defer c.Close()
		text, err := io.ReadAll(c)
		return string(text) + errText(err)
	}
	if got := said(n.dial(t.Context(), "tcp", accessAddress(1)+port)); got != "site 1" {
		t.Errorf("from the hub: %s", got)
	}
	across := func(patience time.Duration) (got string) {
		inside(t, n, n.site(1), func() error {
			got = said(net.DialTimeout("tcp", backboneAddress(2)+port, patience))
			return nil
		})
		return got
	}
	if got := across(5 * time.Second); got != "site 2" {
		t.Errorf("from site to site: %s", got)
	}
	if err := n.cut(2, true); err != nil {
		t.Fatal(err)
	}
	if got := across(300 * time.Millisecond); !strings.Contains(got, "timeout") && !strings.Contains(got, "no route") {
		t.Errorf("from site to site, with a cut between: %s", got)
	}
	if got := said(n.dial(t.Context(), "tcp", accessAddress(1)+port)); got != "site 1" {
		t.Errorf("from the hub, with a cut elsewhere: %s", got)
	}
	if err := n.cut(2, false); err != nil {
		t.Fatal(err)
	}
	if got := across(5 * time.Second); got != "site 2" {
		t.Errorf("from site to site, mended: %s", got)
	}
	line := n.command(2, "cat", []string{"/dev/null"})
	if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %v, %s", line, err, out)
	}
	if err := n.close(); err != nil {
		t.Error(err)
	}
	if left := slices.DeleteFunc(namespaces(), func(name string) bool { return !strings.HasPrefix(name, n.prefix) }); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	if _, err := n.dial(context.Background(), "tcp", accessAddress(1)+port); err == nil {
		t.Error("connected through a namespace that is gone")
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// TestStaleNamespaces holds that what a killed run left is removed, and what another run uses is not.
func TestStaleNamespaces(t *testing.T) {
	mine := makeNetworks(t, 1)
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Skip(err)
	}
	stale := fmt.Sprintf("cometctl-chaos-%d-hub", gone.Process.Pid)
	if err := ip("netns", "add", stale); err != nil {
		t.Fatal(err)
	}
	removeStale()
	left := namespaces()
	if slices.Contains(left, stale) || !slices.Contains(left, mine.hub()) {
		t.Errorf("left are %v; %s should be gone, %s should not", left, stale, mine.hub())
	}
}
