package workers

import (
	"slices"
	"testing"
	"time"
)

func TestWeights(t *testing.T) {
	const max = 20000
	full := func(room int) seat { return seat{takes: true, room: room, max: max} }
	for _, c := range []struct {
		name  string
		seats []seat
		want  []int
	}{
		{"all are empty", []seat{full(max), full(max), full(max)}, []int{5000, 5000, 5000}},
		{"comfortable room is all the same", []seat{full(5000), full(19000)}, []int{5000, 5000}},
		{"then in proportion", []seat{full(500), full(2500), full(20000)}, []int{500, 2500, 5000}},
		{"who is nearly full leaves", []seat{full(100), full(500)}, []int{0, 500}},
		{"the last places are given away", []seat{full(100), full(1), full(0)}, []int{100, 1, 0}},
		{"nobody has room", []seat{full(0), full(-3)}, []int{1, 1}},
		{"who does not run gets nothing", []seat{{room: max, max: max}, full(1000)}, []int{0, 1000}},
		{"who does not run gets nothing, and who is full refuses", []seat{{room: max, max: max}, full(0)}, []int{0, 1}},
		{"nobody runs", []seat{{room: max, max: max}, {room: 1, max: max}}, []int{0, 0}},
		{"a single one", []seat{full(7)}, []int{7}},
		{"few places each", []seat{{takes: true, room: 1, max: 1}, {takes: true, room: 0, max: 1}, {takes: true, room: 2, max: 2}}, []int{1, 0, 1}},
		{"more than expected", []seat{full(-5), full(10)}, []int{0, 10}},
	} {
		for i := range c.seats {
			c.seats[i].look()
		}
		if got := weights(c.seats); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Who has left does not come back for each single place that becomes free.
func TestLeavesAndComesBack(t *testing.T) {
	for _, c := range []struct {
		max   int
		rooms []int
		out   []bool
	}{
		{20000, []int{20000, 156, 155, 156, 311, 312, 200, 155}, []bool{false, false, true, true, true, false, false, true}},
		{10, []int{10, 1, 0, 1, 2, 1}, []bool{false, false, true, true, false, false}},
		{2, []int{0, 1}, []bool{true, false}},
		{1, []int{1, 0, 1}, []bool{false, true, false}},
	} {
		s := seat{max: c.max}
		for i, room := range c.rooms {
			s.room = room
			if s.look(); s.out != c.out[i] {
				t.Errorf("of %d, after room %v: out is %v", c.max, c.rooms[:i+1], s.out)
			}
		}
	}
}

func TestPause(t *testing.T) {
	for _, c := range []struct {
		takes       bool
		before, now int
		want        time.Duration
	}{
		{true, 20000, 19000, steerCalm},
		{true, calmRoom, calmRoom - 1, steerFull},
		{true, calmRoom + 1, calmRoom, steerCalm},
		{true, 500, 500, steerCalm},
		{true, 500, 510, steerCalm},
		{false, 500, 0, steerCalm},
	} {
		before, now := seat{takes: c.takes, room: c.before, max: 20000}, seat{takes: c.takes, room: c.now, max: 20000}
		if got := pause([]seat{before}, []seat{now}); got != c.want {
			t.Errorf("%+v: %v, want %v", now, got, c.want)
		}
	}
}

func TestRoomiest(t *testing.T) {
	for _, c := range []struct {
		seats []seat
		from  int
		want  int
	}{
		{[]seat{{full: true, takes: true}, {takes: true, room: 3}, {takes: true, room: 5}}, 0, 2},
		{[]seat{{full: true, takes: true}, {room: 30}, {takes: true, room: 5}}, 0, 2},
		{[]seat{{full: true, takes: true}, {takes: true, room: -1}}, 0, 0}, // it refuses
		{[]seat{{}, {takes: true, full: true}}, 0, -1},                     // they wait
		{[]seat{{}, {}}, 1, -1},
	} {
		if got := roomiest(c.seats, c.from); got != c.want {
			t.Errorf("%+v: from %d to %d, want %d", c.seats, c.from, got, c.want)
		}
	}
}
