// Command yaml-oracle says what Kubernetes' own readers make of YAML. It is the authority the Rust yaml room is
// tested against: apimachinery's YAMLReader splits the file, sigs.k8s.io/yaml turns each part into JSON.
//
// Input (stdin): a JSON array of {"name": ..., "base64": ...}. Output (stdout): a JSON array, one entry a line, in
// the same order, of {"name": ..., "docs": [...]} or {"name": ..., "error": "..."}. Null documents are left out and
// lists flattened, as kubectl does.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

type testCase struct {
	Name   string `json:"name"`
	Base64 string `json:"base64"`
}

type outcome struct {
	Name  string            `json:"name"`
	Docs  []json.RawMessage `json:"docs,omitempty"`
	Error string            `json:"error,omitempty"`
}

// parts splits as YAMLReader does. YAMLReader adds a newline to a last line that has none; design/yaml.md wants the
// text as it stands in the file, so that newline is taken away again. A UTF-16 file cannot be split by bytes: it is
// one part.
func parts(data []byte) ([][]byte, error) {
	if bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return [][]byte{data}, nil
	}
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	var out [][]byte
	for {
		part, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		out = append(out, bytes.Clone(part))
	}
	last := len(out) - 1
	if last >= 0 && !bytes.HasSuffix(data, []byte("\n")) && !endsWithSeparator(data) {
		out[last] = bytes.TrimSuffix(out[last], []byte("\n"))
	}
	return out, nil
}

func endsWithSeparator(data []byte) bool {
	line := data[bytes.LastIndexByte(data, '\n')+1:]
	return bytes.HasPrefix(line, []byte("---"))
}

func flatten(doc json.RawMessage, out []json.RawMessage) []json.RawMessage {
	var fields map[string]json.RawMessage
	var kind string
	if json.Unmarshal(doc, &fields) != nil || json.Unmarshal(fields["kind"], &kind) != nil || !strings.HasSuffix(kind, "List") {
		return append(out, doc)
	}
	raw, has := fields["items"]
	if (!has || bytes.Equal(raw, []byte("null"))) && kind == "List" {
		return out
	}
	var items []json.RawMessage
	if !has || json.Unmarshal(raw, &items) != nil || items == nil {
		return append(out, doc)
	}
	for _, item := range items {
		out = flatten(inherit(item, strings.TrimSuffix(kind, "List"), fields["apiVersion"]), out)
	}
	return out
}

// inherit gives an item of a FooList that names neither kind nor apiVersion those of its list, as the unstructured
// decoder does.
func inherit(item json.RawMessage, kind string, apiVersion json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if kind == "" || apiVersion == nil || json.Unmarshal(item, &fields) != nil || fields == nil {
		return item
	}
	if fields["kind"] != nil || fields["apiVersion"] != nil {
		return item
	}
	fields["kind"], _ = json.Marshal(kind)
	fields["apiVersion"] = apiVersion
	out, _ := json.Marshal(fields)
	return out
}

// toJSON is sigs.k8s.io/yaml, and JSON where kubectl reads JSON: JSON has escapes that YAML has not.
func toJSON(piece []byte) ([]byte, error) {
	doc, err := yaml.YAMLToJSON(piece)
	var value any
	if err != nil && utilyaml.IsJSONBuffer(piece) && json.Unmarshal(piece, &value) == nil {
		return json.Marshal(value)
	}
	return doc, err
}

// stream reads several JSON values one behind the other, as kubectl does before it tries YAML.
func stream(piece []byte) (values []json.RawMessage) {
	if !utilyaml.IsJSONBuffer(piece) {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(piece))
	for {
		var value json.RawMessage
		err := decoder.Decode(&value)
		if errors.Is(err, io.EOF) {
			return values
		}
		if err != nil {
			return nil
		}
		doc, err := toJSON(value)
		if err != nil {
			return nil
		}
		if !bytes.Equal(doc, []byte("null")) {
			values = append(values, doc)
		}
	}
}

func read(c testCase) (result outcome) {
	result.Name = c.Name
	defer func() {
		if r := recover(); r != nil {
			result = outcome{Name: c.Name, Error: fmt.Sprintf("panic: %v", r)}
		}
	}()
	data, err := base64.StdEncoding.DecodeString(c.Base64)
	if err != nil {
		return outcome{Name: c.Name, Error: "bad case: " + err.Error()}
	}
	pieces, err := parts(data)
	if err != nil {
		return outcome{Name: c.Name, Error: err.Error()}
	}
	for _, piece := range pieces {
		if values := stream(piece); len(values) > 1 {
			for _, value := range values {
				result.Docs = flatten(value, result.Docs)
			}
			continue
		}
		doc, err := toJSON(piece)
		if err != nil {
			return outcome{Name: c.Name, Error: err.Error()}
		}
		if !bytes.Equal(doc, []byte("null")) {
			result.Docs = flatten(doc, result.Docs)
		}
	}
	return result
}

func main() {
	var cases []testCase
	if err := json.NewDecoder(bufio.NewReader(os.Stdin)).Decode(&cases); err != nil {
		fmt.Fprintln(os.Stderr, "cannot read the cases:", err)
		os.Exit(1)
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	fmt.Fprintln(out, "[")
	for i, c := range cases {
		line, err := json.Marshal(read(c))
		if err != nil {
			fmt.Fprintln(os.Stderr, "cannot write an outcome:", err)
			os.Exit(1)
		}
		comma := ","
		if i == len(cases)-1 {
			comma = ""
		}
		fmt.Fprintf(out, "%s%s\n", line, comma)
	}
	fmt.Fprintln(out, "]")
}
