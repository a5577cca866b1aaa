package router

import (
	"bytes"
	"strconv"
)

const blockLen = 20

// block is a piece of an id that is not a number. Blocks of one size instead of a block per length: ids of all lengths
// reuse each other's places, whatever was there before. The last block is filled up with zeros, which no id holds.
type block struct {
	text [blockLen]byte
	next uint32 // slot of the next block
}

// putText stores id and returns the slot of its first block.
func (m *memory) putText(id []byte) (first uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for next := &first; len(id) > 0; {
		slot := m.blocks.Alloc()
		b := m.blocks.At(slot)
		id = id[copy(b.text[:], id):]
		*next, next = slot, &b.next
	}
	return first
}

// dropText forgets the id whose first block is slot.
func (m *memory) dropText(slot uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for slot != 0 {
		next := m.blocks.At(slot).next
		m.blocks.Free(slot)
		slot = next
	}
}

// isText tells whether the blocks from slot on hold id.
func (m *memory) isText(slot uint32, id []byte) bool {
	for len(id) > blockLen && slot != 0 {
		b := m.blocks.At(slot)
		if !bytes.Equal(b.text[:], id[:blockLen]) {
			return false
		}
		id, slot = id[blockLen:], b.next
	}
	if slot == 0 {
		return false
	}
	b := m.blocks.At(slot)
	return b.next == 0 && bytes.Equal(b.text[:len(id)], id) && (len(id) == blockLen || b.text[len(id)] == 0)
}

// id returns the id that a key stands for.
func (m *memory) id(key word) string {
	if key.hi&textKey == 0 {
		return strconv.FormatUint(uint64(key.hi)<<32|uint64(key.lo), 10)
	}
	var id []byte
	for slot := key.lo; slot != 0; {
		b := m.blocks.At(slot)
		id, slot = append(id, b.text[:]...), b.next
	}
	return string(bytes.TrimRight(id, "\x00"))
}
