//go:build !linux

package workers

import (
	"errors"
	"net"
	"os"

	"cometctl/server"
)

// This system has no group of listening sockets (netloop.ListenGroup), so that nobody gets as far as this.

func createPages(int) (*os.File, error) { return nil, errors.ErrUnsupported }

func pageBytes() int64 { return int64(server.PageSize) }

func mapPage(*os.File, int64) (*server.Page, error) { return nil, errors.ErrUnsupported }

const forWords, forConns = 0, 0

func pair(int) (parent, child *os.File, err error) { return nil, nil, errors.ErrUnsupported }

func send(*net.UnixConn, []int) error { return errors.ErrUnsupported }

func receive(*net.UnixConn) ([]int, error) { return nil, errors.ErrUnsupported }

func shut(int) {}
