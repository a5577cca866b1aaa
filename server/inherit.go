package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"cometctl/internal/netloop"
)

// This file is what a server has from the process that started it: listening sockets, and somebody who wants to know whether it lives.

// checkInherited makes the addresses those of the sockets that were inherited, so that all that is said and checked of them holds.
func (c *Config) checkInherited() error {
	for _, i := range []struct {
		f    *os.File
		what string
		addr *string
	}{{c.Inherit, "comet", &c.Listen}, {c.InheritAdmin, "admin", &c.Admin}} {
		if i.f == nil {
			continue
		}
		ln, err := inherited(i.f)
		if err != nil {
			return configErrorf("the %s listener's socket, which was inherited: %w", i.what, err)
		}
		*i.addr = ln.Addr().String()
		ln.Close()
	}
	return nil
}

// inherited is a copy of a listening socket that another process has opened.
func inherited(f *os.File) (*net.TCPListener, error) {
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	tl, ok := ln.(*net.TCPListener)
	if !ok {
		ln.Close()
		return nil, fmt.Errorf("%s is of %s, want TCP", f.Name(), ln.Addr().Network())
	}
	return tl, nil
}

// listenAdmin takes the admin listener's address.
func (s *Server) listenAdmin() (net.Listener, error) {
	if s.cfg.InheritAdmin != nil {
		return inherited(s.cfg.InheritAdmin)
	}
	return net.Listen("tcp", s.cfg.Admin)
}

// full tells whether nobody is to be accepted, because somebody else has the listening socket, too: a parent, which sees our Page and finds a place for those who
// wait there while we have none, or a service manager, which starts the next server on it when we end.
func (s *Server) full() bool {
	switch {
	case s.cfg.Inherit == nil:
		return false
	case s.cfg.Page == nil:
		return s.draining.Load()
	}
	return s.counts.held.Load() >= int64(s.cfg.MaxConns) && !s.draining.Load()
}

// Alive asks every loop for a turn, and returns nil when all have had one. An error says how many have not by the time that ctx is done.
func (s *Server) Alive(ctx context.Context) error {
	n := s.engine.Loops()
	answers := make(chan bool, n)
	for i := range n {
		go s.engine.Do(i, func(netloop.Loop) { answers <- true }) // who asks may be given the turn
	}
	for got := range n {
		select {
		case <-answers:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("server: %d of %d event loops do not answer", n-got, n), context.Cause(ctx))
		}
	}
	return nil
}
