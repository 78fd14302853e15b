package main

import (
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// recordEvery is how many bytes may be written before the record says so: what a kill costs at most.
const recordEvery = 16 << 20

// record lists the good bytes of a part file (section 5). It is written after them, never before.
type record struct {
	Name     string
	Revision string
	Size     int64
	Good     int64  // bytes from the start of the file
	CRC32C   uint32 // of those
}

// part is the unfinished copy, OUT.part, with its record, OUT.part.json.
type part struct {
	out      string
	file     *os.File
	recorded int64
}

func openPart(out string) (*part, error) {
	file, err := os.OpenFile(out+".part", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	return &part{out: out, file: file}, nil
}

// takeUp makes r continue from the bytes of an earlier run if they still match its record, and otherwise from zero.
func (p *part) takeUp(r *receiver) error {
	var left record
	data, err := os.ReadFile(p.recordPath())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err == nil && json.Unmarshal(data, &left) == nil && left.Name == r.name && left.Revision != "" {
		// Check the bytes instead of trusting the record: section 5, step 1.
		checksum := crc32.New(castagnoli)
		count, err := io.Copy(checksum, io.NewSectionReader(p.file, 0, left.Good))
		if err != nil {
			return err
		}
		if count == left.Good && checksum.Sum32() == left.CRC32C {
			r.revision, r.size, r.position, r.checksum = left.Revision, left.Size, left.Good, left.CRC32C
		}
	}
	return p.cut(r)
}

// cut truncates the part file after the good bytes, and records that.
func (p *part) cut(r *receiver) error {
	if err := p.file.Truncate(r.position); err != nil {
		return err
	}
	return p.record(r)
}

// write writes good bytes at the position that r had before them.
func (p *part) write(data []byte, r *receiver) error {
	if _, err := p.file.WriteAt(data, r.position-int64(len(data))); err != nil {
		return err
	}
	if r.position-p.recorded < recordEvery {
		return nil
	}
	return p.record(r)
}

// record replaces the record atomically.
func (p *part) record(r *receiver) error {
	data, err := json.Marshal(record{Name: r.name, Revision: r.revision, Size: r.size, Good: r.position, CRC32C: r.checksum})
	if err != nil {
		return err
	}
	scratch := p.recordPath() + ".new"
	if err := os.WriteFile(scratch, data, 0o644); err != nil {
		return err
	}
	p.recorded = r.position
	return os.Rename(scratch, p.recordPath())
}

// commit gives the complete, verified copy its final name (section 5, step 5).
func (p *part) commit() error {
	if err := p.file.Sync(); err != nil {
		return err
	}
	if err := os.Rename(p.file.Name(), p.out); err != nil {
		return err
	}
	directory, err := os.Open(filepath.Dir(p.out))
	if err != nil {
		return err
	}
	defer directory.Close()
	if err := directory.Sync(); err != nil {
		return err
	}
	return os.Remove(p.recordPath())
}

func (p *part) recordPath() string { return p.out + ".part.json" }
