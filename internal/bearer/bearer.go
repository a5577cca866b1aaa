// Package bearer knows the tokens of the admin listener (RFC 6750): the file in which they stand, for the server and for its clients, how
// they travel in a request, and how they are compared.
//
// A file has one token a line; empty lines do not count. All of them are valid for the server, and a client sends the first. So a token is
// replaced without a gap: the new one goes in front of the old one, the server reads its file again, the clients get the new file, and then
// the old line goes. A file that others of this machine may read is refused by both: what is in it is no secret.
//
// No error's text holds a token, or part of one.
package bearer

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

// MinLen is the least length of a token in bytes: what cannot be guessed, if it was made by chance.
const MinLen = 16

// maxFile bounds what is read of a file, in bytes.
const maxFile = 64 << 10

// making says how to come by a file.
const making = "(umask 077; openssl rand -hex 32 >%s) makes a good one"

// Tokens are those of a file, in its order. The zero Tokens are none, and match nothing.
type Tokens struct {
	first string
	sums  [][sha256.Size]byte // of all: of equal length, so that comparing takes equally long
}

// Read reads a file of tokens. An error begins with the file's name, and says what to do about it.
func Read(path string) (Tokens, error) {
	text, err := readPrivate(path)
	if err != nil {
		return Tokens{}, fmt.Errorf("%s: %w", path, err)
	}
	t, err := Parse(text)
	if err == nil && t.Len() == 0 {
		err = fmt.Errorf("it is empty; give a token of at least %d bytes: "+making, MinLen, path)
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// readPrivate reads a file that nobody else may read.
func readPrivate(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0)
	if err != nil {
		var at *fs.PathError
		if errors.As(err, &at) {
			err = at.Err // the name stands in front already
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; "+making, err, path)
		}
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("it is no regular file; give a file with a token in it")
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o037 != 0: // its group may read it: so systemd hands out credentials
		return nil, fmt.Errorf("others may read or write it (mode %04o); chmod 600 %s, and put a new token in it if somebody has", info.Mode().Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it is larger than %d KiB; give a file with a token a line", maxFile>>10)
	}
	return text, err
}

// Parse reads the text of a file. A text without a token is no error.
func Parse(text []byte) (t Tokens, err error) {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if len(line) == 0 {
			continue
		}
		if i := offence(line); i >= 0 {
			return Tokens{}, fmt.Errorf("line %d: byte %d is %q, which no token holds; use A-Z a-z 0-9 - . _ ~ + / and = at the end", n, i+1, line[i])
		}
		if len(line) < MinLen {
			return Tokens{}, fmt.Errorf("line %d: a token of %d bytes can be guessed; give at least %d", n, len(line), MinLen)
		}
		if t.first == "" {
			t.first = string(line)
		}
		t.sums = append(t.sums, sha256.Sum256(line))
	}
	return t, nil
}

// offence is where a line stops being a token, -1 for one that is a token: b64token of RFC 6750 section 2.1, which a header can carry as
// it is.
func offence(line []byte) int {
	body := bytes.TrimRight(line, "=")
	for i, c := range body {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~+/", c) >= 0) {
			return i
		}
	}
	if len(body) == 0 {
		return 0
	}
	return -1
}

// Len is how many tokens there are.
func (t Tokens) Len() int { return len(t.sums) }

// Header is the value of the Authorization field of a request with the first token; there must be one.
func (t Tokens) Header() string { return "Bearer " + t.first }

// Match tells whether token is one of them. How long it takes depends on their number and on the length of token, and on nothing else.
func (t Tokens) Match(token string) bool {
	sum := sha256.Sum256([]byte(token))
	found := 0
	for i := range t.sums {
		found |= subtle.ConstantTimeCompare(sum[:], t.sums[i][:])
	}
	return found == 1
}

// OfHeader is the token of a request's Authorization fields; not ok unless there is exactly one field, and it has a token. The scheme's name
// may be written in upper and lower case (RFC 9110 section 11.1).
func OfHeader(values []string) (token string, ok bool) {
	if len(values) != 1 {
		return "", false
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	token = strings.Trim(token, " ")
	return token, strings.EqualFold(scheme, "Bearer") && token != ""
}
