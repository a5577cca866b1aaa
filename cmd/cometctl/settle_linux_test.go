package main

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

// What is dropped comes back as it was: the program goes on, and every font is the same to the byte.
func TestDroppedPagesComeBack(t *testing.T) {
	sums := func() (all [][32]byte) {
		for _, f := range fonts() {
			all = append(all, sha256.Sum256(f))
		}
		return all
	}
	before := sums()
	settleMemory()
	for i, sum := range sums() {
		if sum != before[i] {
			t.Errorf("font %d has changed", i)
		}
	}
	for i, f := range fonts() {
		if !bytes.HasPrefix(f, []byte{0, 1, 0, 0}) { // sfnt version of TrueType outlines
			t.Errorf("font %d is none", i)
		}
	}
}
