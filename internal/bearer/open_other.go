//go:build !unix

package bearer

const nonblock = 0
