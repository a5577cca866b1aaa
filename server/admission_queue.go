package server

import (
	"time"

	"cometctl/internal/netloop"
	"cometctl/internal/slab"
)

// queue is connections of one loop in the order in which they came into some state, for as long as they are in it: a flag of the client says
// so, and client.since is its turn then, which it needs for nothing else before its login and after its end. Who leaves stays in the line
// until it is his turn, or until more of the line has left than is there: each connection costs a few instructions, and 16 bytes while it
// stands here.
type queue struct {
	flag flags
	line []queued
	next uint32 // turn of who comes next; line[i] has turn next-len(line)+i
	n    int    // who stands here; the rest of the line has left
}

type queued struct {
	c  netloop.Conn
	at time.Duration // when it came
}

// push puts a client at the end.
func (q *queue) push(clients *slab.Slab[client], c netloop.Conn, cl *client, now time.Duration) {
	if len(q.line) >= 2*q.n+64 {
		q.close(clients)
	}
	cl.flags |= q.flag
	cl.since = q.next
	q.line = append(q.line, queued{c, now})
	q.next++
	q.n++
}

// leave takes a client out; it tells whether it stood here.
func (q *queue) leave(cl *client) bool {
	if !cl.has(q.flag) {
		return false
	}
	cl.flags &^= q.flag
	q.n--
	return true
}

// oldest is who has stood here for the longest time, and since when.
func (q *queue) oldest(clients *slab.Slab[client]) (c netloop.Conn, since time.Duration, ok bool) {
	for len(q.line) > 0 {
		first := q.line[0]
		if q.stands(clients, 0) {
			return first.c, first.at, true
		}
		q.line = q.line[1:]
	}
	return 0, 0, false
}

// stands tells whether line[i] has not left. Its slot may serve another connection by now, which may stand here itself.
func (q *queue) stands(clients *slab.Slab[client], i int) bool {
	cl := clients.At(q.line[i].c.Slot())
	return cl.has(q.flag) && cl.since == q.next-uint32(len(q.line)-i)
}

// close closes the gaps.
func (q *queue) close(clients *slab.Slab[client]) {
	kept := q.line[:0] // in place: garbage for each few connections would be more than all of them cost
	for i, e := range q.line {
		if q.stands(clients, i) {
			kept = append(kept, e)
		}
	}
	q.line = kept
	for i, e := range kept {
		clients.At(e.c.Slot()).since = q.next - uint32(len(kept)-i)
	}
}
