package main

import (
	"hash/crc32"

	pb "unspool/examples/go/unspoolv1"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// The states of section 3.
type state int

const (
	opening state = iota
	receiving
	complete
)

// receiver checks messages by the rules of section 3. It lasts for all attempts; its position moves only past good bytes.
type receiver struct {
	name     string
	revision string // pinned, unless empty
	size     int64  // of that revision
	position int64  // the first byte that is missing
	checksum uint32 // of the bytes before position

	state state
	stop  int64   // what the header of this attempt promised
	known *uint32 // the whole file's checksum, as sent by the server
}

// request starts an attempt: it requests the missing bytes, to the end of the file.
func (r *receiver) request(transfer string, attempt int32) *pb.ReadFileRequest {
	r.state = opening
	request := &pb.ReadFileRequest{Name: r.name, Start: &r.position, TransferId: transfer, Attempt: attempt}
	if r.revision != "" {
		request.Revision = &r.revision
	}
	return request
}

// receive checks a message in the order of the table of section 3. If there is no failure, its block is good and position moves past it.
func (r *receiver) receive(message *pb.ReadFileResponse) *failure {
	if header := message.GetHeader(); header != nil {
		if r.state != opening {
			return found(sequence, "a second header arrived")
		}
		if f := r.open(header); f != nil {
			return f
		}
		r.state = receiving
	}
	end, checksum := r.position, r.checksum
	if block := message.GetBlock(); block != nil {
		if r.state != receiving {
			return found(sequence, "a block arrived out of order")
		}
		if f := r.check(block); f != nil {
			return f
		}
		end += int64(len(block.GetData()))
		checksum = crc32.Update(checksum, castagnoli, block.GetData())
	}
	if summary := message.GetSummary(); summary != nil {
		if r.state != receiving {
			return found(sequence, "a summary arrived out of order")
		}
		if f := r.close(summary, end); f != nil {
			return f
		}
		r.state = complete
	} else if message.GetHeader() == nil && message.GetBlock() == nil && r.state == complete {
		return found(sequence, "a heartbeat arrived after the summary")
	}
	r.position, r.checksum = end, checksum
	return nil
}

func (r *receiver) open(header *pb.Header) *failure {
	info := header.GetInfo()
	switch {
	case info == nil || info.GetName() != r.name || info.GetRevision() == "" || info.GetSize() < 0 || header.GetLength() < 0:
		return found(protocol, "the header does not describe %q", r.name)
	case r.revision != "" && info.GetRevision() != r.revision:
		return found(fileChanged, "revision %s was asked for, %s is offered", r.revision, info.GetRevision())
	case r.revision != "" && info.GetSize() != r.size:
		return found(protocol, "revision %s had %d bytes before and has %d now", r.revision, r.size, info.GetSize())
	}
	if f := r.learn(info.Crc32C); f != nil {
		return f
	}
	switch {
	case header.GetStart() == r.position && r.position > info.GetSize():
		return found(pastEnd, "the bytes from %d were asked for, the file ends at %d", r.position, info.GetSize())
	case header.GetStart() != r.position || header.GetStart()+header.GetLength() != info.GetSize():
		return found(startIgnored, "the bytes from %d were asked for, %d bytes from %d are offered",
			r.position, header.GetLength(), header.GetStart())
	}
	r.revision, r.size, r.stop = info.GetRevision(), info.GetSize(), info.GetSize()
	return nil
}

func (r *receiver) check(block *pb.Block) *failure {
	size := int64(len(block.GetData()))
	switch {
	case block.GetOffset() != r.position:
		return found(sequence, "a block begins at byte %d, byte %d is missing", block.GetOffset(), r.position)
	case size == 0:
		return found(protocol, "an empty block arrived")
	case block.GetOffset()+size > r.stop:
		return found(tooMuchData, "a block reaches to byte %d, the bytes up to %d were promised", block.GetOffset()+size, r.stop)
	case crc32.Checksum(block.GetData(), castagnoli) != block.GetCrc32C():
		return found(blockCorrupt, "the %d bytes at %d are not what their checksum says", size, block.GetOffset())
	}
	return nil
}

func (r *receiver) close(summary *pb.Summary, end int64) *failure {
	switch {
	case summary.GetEnd() != end || end != r.stop:
		return found(truncated, "bytes up to %d arrived, the summary says %d, %d were promised", end, summary.GetEnd(), r.stop)
	case summary.GetAtEnd() != (end == r.size):
		return found(protocol, "the summary is wrong about byte %d being the end of the file", end)
	}
	return r.learn(summary.Crc32C)
}

// learn stores the whole file's checksum if it is present. The server may send it again, but not another one.
func (r *receiver) learn(whole *uint32) *failure {
	if whole == nil {
		return nil
	}
	if r.known != nil && *r.known != *whole {
		return found(protocol, "the server gives different checksums for revision %s", r.revision)
	}
	r.known = whole
	return nil
}
