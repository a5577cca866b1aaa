// Package conformance holds docs/conformance.md to the tests: each rule there names the tests that hold it, and each of these
// tests exists. It has no code of its own.
package conformance

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const (
	root = "../.."
	page = root + "/docs/conformance.md"
)

// rule is a row of a table on the page.
type rule struct {
	line                  int
	section, rule, we, by string
}

// rules reads the tables: rows of four cells, of which the second is not a heading's.
func rules(t *testing.T, text string) (all []rule) {
	t.Helper()
	for i, line := range strings.Split(text, "\n") {
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| section |") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if len(cells) != 4 {
			t.Errorf("%s:%d: %d cells, want 4", page, i+1, len(cells))
			continue
		}
		all = append(all, rule{i + 1, cells[0], cells[1], cells[2], cells[3]})
	}
	return all
}

// tests are what the test files of a package hold: functions, and the texts that can be names of cases.
type tests struct {
	functions map[string]bool
	texts     map[string]bool
}

// packages reads all test files, by the last part of their folder's path.
func packages(t *testing.T) map[string]*tests {
	t.Helper()
	all := map[string]*tests{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != "..":
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name := filepath.Base(filepath.Dir(path))
		if all[name] == nil {
			all[name] = &tests{map[string]bool{}, map[string]bool{}}
		}
		all[name].read(f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (p *tests) read(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Recv == nil {
				p.functions[n.Name.Name] = true
			}
		case *ast.BasicLit:
			if text, err := strconv.Unquote(n.Value); err == nil && n.Kind == token.STRING {
				p.texts[strings.ReplaceAll(text, " ", "_")] = true // as go test writes the names of cases
			}
		}
		return true
	})
}

// reference is a test in the last column: package.Test or package.Test/case.
var reference = regexp.MustCompile("^`([a-z]+)\\.((?:Test|Fuzz)[A-Za-z0-9]+)(?:/([^`]+))?`$")

// check returns what is wrong with the last column of a row, or nothing.
func check(r rule, all map[string]*tests) string {
	if r.by == "-" {
		if !strings.HasPrefix(r.we, "does not apply: ") {
			return "names no test, and does not say that it does not apply"
		}
		return ""
	}
	for _, name := range strings.Split(r.by, ", ") {
		m := reference.FindStringSubmatch(name)
		if m == nil {
			return fmt.Sprintf("%s is no package.Test or package.Test/case", name)
		}
		p := all[m[1]]
		switch {
		case p == nil:
			return fmt.Sprintf("there is no package %s with tests", m[1])
		case !p.functions[m[2]]:
			return fmt.Sprintf("there is no test %s in package %s", m[2], m[1])
		case m[3] != "" && !p.texts[m[3]]:
			return fmt.Sprintf("nothing in the tests of package %s is called %q", m[1], m[3])
		}
	}
	return ""
}

func TestEveryRuleHasItsTest(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	all, packages := rules(t, string(text)), packages(t)
	if len(all) < 50 {
		t.Errorf("%s has %d rules; some were not read", page, len(all))
	}
	for _, r := range all {
		if r.section == "" || r.rule == "" || r.we == "" {
			t.Errorf("%s:%d: an empty cell", page, r.line)
		}
		if wrong := check(r, packages); wrong != "" {
			t.Errorf("%s:%d: %s: %s", page, r.line, r.rule, wrong)
		}
	}
}

// The test must be able to fail.
func TestCheck(t *testing.T) {
	packages := packages(t)
	for by, ok := range map[string]bool{
		"`conformance.TestCheck`":               true,
		"`conformance.TestCheck/a_case_of_this": false,
		"`conformance.TestCheck/no_case`":       true, // the next line has the text
		"`conformance.TestNothing`":             false,
		"`nowhere.TestCheck`":                   false,
		"`conformance.TestCheck`, ":             false,
		"TestCheck":                             false,
		"-":                                     false,
		"":                                      false,
		"`wire.TestBadRequests/two_Hosts`":      true,
		"`wire.TestBadRequests/three_Hosts`":    false,
	} {
		if wrong := check(rule{we: "no case", by: by}, packages); (wrong == "") != ok {
			t.Errorf("%q: %q, want good: %v", by, wrong, ok)
		}
	}
	if wrong := check(rule{we: "does not apply: we are no proxy", by: "-"}, packages); wrong != "" {
		t.Error(wrong)
	}
}
