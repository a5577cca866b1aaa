package wire

// BodySkipper reads the body of a request past, however its bytes are cut, and finds where the next request begins. It holds
// no pointer. The zero value is a body of no bytes; after its end or an error it stays there.
type BodySkipper struct {
	chunk   ChunkDecoder
	left    uint32 // bytes that still come (length), or may at most (chunked)
	chunked bool
}

// Body returns what skips the body of r, RFC 9112 section 6.3, if that has no more than most bytes. Where it says that it has
// more, the error is an *Error with status 413. In a chunked body the sizes, line ends and trailers count as well.
func (r *Request) Body(most int) (BodySkipper, error) {
	most = min(max(most, 0), 1<<31-1)
	if r.ContentLength > int64(most) {
		return BodySkipper{}, tooLong(most)
	}
	if r.Chunked {
		return BodySkipper{left: uint32(most), chunked: true}, nil
	}
	return BodySkipper{left: uint32(max(r.ContentLength, 0))}, nil
}

func tooLong(most int) error { return reject(413, "body is longer than %d bytes", most) }

// Next consumes n bytes of b. done tells that the body has ended and what follows the n bytes is no part of it; it may come
// with n = 0. Without done and err, n is len(b). An error is an *Error: status 413 where more came than allowed, or that of
// ChunkDecoder.Next. The connection is lost then.
func (s *BodySkipper) Next(b []byte) (n int, done bool, err error) {
	if !s.chunked {
		n = int(min(int64(len(b)), int64(s.left)))
		s.left -= uint32(n)
		return n, s.left == 0, nil
	}
	for {
		_, k, ev, err := s.chunk.Next(b[n:min(len(b), int(s.left)+n)])
		n += k
		s.left -= uint32(k)
		switch {
		case err != nil:
			return n, false, err
		case ev == ChunkEnd:
			return n, true, nil
		case n == len(b):
			return n, false, nil
		case s.left == 0:
			return n, false, reject(413, "chunked body is longer than allowed")
		}
	}
}
