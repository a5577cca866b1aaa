// Package systemd is what a service and its manager say to each other: sd_notify(3), the watchdog, and listening sockets that the manager has
// opened (sd_listen_fds(3)). All of it comes in environment variables, which are passed in; without them there is no manager, and
// everything here does nothing.
//
// github.com/coreos/go-systemd has the same two packages, daemon and activation. They are as short as this one, have no watchdog that asks
// before it answers, take LISTEN_FDS that cannot be for none, and read and change the process's environment.
//
// A Manager is a value without state. Any goroutine may use it. Each message is a datagram of its own, sent within a second or not at all: who does
// not listen to us must not hold us up.
package systemd

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"
)

// Manager is the service manager that has started this process; the zero Manager is none.
type Manager struct {
	socket   string        // NOTIFY_SOCKET: a path, or @name of Linux's abstract ones
	watchdog time.Duration // WATCHDOG_USEC: how often it wants to hear of us; 0: it does not
}

// Find returns the manager that the environment names, for the process with that pid. An error means that what is there cannot be from a manager.
func Find(getenv func(string) string, pid int) (Manager, error) {
	m := Manager{socket: getenv("NOTIFY_SOCKET")}
	if m.socket == "" {
		return Manager{}, nil
	}
	if m.socket[0] != '/' && m.socket[0] != '@' {
		return Manager{}, fmt.Errorf("systemd: NOTIFY_SOCKET=%s: want a path or an abstract name (@...)", m.socket)
	}
	text := getenv("WATCHDOG_USEC")
	if text == "" || !mine(getenv("WATCHDOG_PID"), pid) {
		return m, nil
	}
	usec, err := strconv.ParseInt(text, 10, 64)
	if err != nil || usec <= 0 || usec > int64(1<<63-1)/int64(time.Microsecond) {
		return Manager{}, fmt.Errorf("systemd: WATCHDOG_USEC=%s: want microseconds", text)
	}
	m.watchdog = time.Duration(usec) * time.Microsecond
	return m, nil
}

// mine tells whether a variable for the process of that pid is for us. One that names nobody is for all.
func mine(text string, pid int) bool { return text == "" || text == strconv.Itoa(pid) }

// Ready tells that the service has started, or has reloaded, and what it does, for people.
func (m Manager) Ready(status string) error { return m.tell("READY=1", "STATUS="+status) }

// Reloading tells that the service is about to read its configuration again. Ready says that it has. With Type=notify-reload the manager
// wants to know when that began, by the clock that all processes share.
func (m Manager) Reloading() error {
	usec, err := monotonic()
	if err != nil {
		return err
	}
	return m.tell("RELOADING=1", "MONOTONIC_USEC="+strconv.FormatInt(usec, 10))
}

// Stopping tells that the service has begun to end.
func (m Manager) Stopping(status string) error { return m.tell("STOPPING=1", "STATUS="+status) }

// Extend asks for so much more time to start or to end than the unit allows, from now on, and tells what it is for.
func (m Manager) Extend(d time.Duration, status string) error {
	return m.tell("EXTEND_TIMEOUT_USEC="+strconv.FormatInt(d.Microseconds(), 10), "STATUS="+status)
}

// Watch tells the manager that the service is alive, twice in each time that it wants to hear of it, as long as alive returns nil, until ctx is done. Where it returns an
// error, the manager is told nothing and does what the unit says once its patience is over; failed hears of the first error, and of the first after a success. alive has until
// the next time; its context says when. Without a watchdog Watch returns at once.
func (m Manager) Watch(ctx context.Context, alive func(context.Context) error, failed func(error)) {
	if m.watchdog == 0 {
		return
	}
	tick := time.NewTicker(m.watchdog / 2)
	defer tick.Stop()
	for well := true; ; {
		trial, cancel := context.WithTimeout(ctx, m.watchdog/2)
		err := alive(trial)
		cancel()
		if err == nil {
			err = m.tell("WATCHDOG=1")
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil && well {
			failed(err)
		}
		well = err == nil
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// tell sends one message.
func (m Manager) tell(lines ...string) error {
	if m.socket == "" {
		return nil
	}
	for i := range lines { // a line is a variable's, whatever text was put into it
		lines[i] = strings.NewReplacer("\n", " ", "\r", " ").Replace(lines[i])
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("systemd: telling the service manager: %w", err)
	}
	defer c.Close()
	c.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err := c.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("systemd: telling the service manager: %w", err)
	}
	return nil
}
