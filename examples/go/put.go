package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"

	pb "unspool/examples/go/unspoolv1"
)

const (
	heartbeatEvery = 10 * time.Second // section 14, Waiting
	largestBlock   = 1 << 20
	mostDiscards   = 5 // how often bytes that the server has may turn out not to be those of the file
)

// uploadReasons are the reasons of section 14, and whether opening the upload again may help.
var uploadReasons = map[string]bool{
	"TOO_LARGE": false, "ALREADY_EXISTS": false, "TAKEN_OVER": false, "NO_SPACE": false,
	blockCorrupt: true, sequence: true, fileMismatch: false,
}

// refusal is an upload that the server refused, with the bytes that it has.
type refusal struct {
	failure
	good []*pb.GoodSpan
}

// remembered is what FILE.upload keeps of an upload, so that another run goes on with it.
type remembered struct {
	ID       []byte
	Target   string
	Name     string
	Size     int64
	Modified time.Time
}

// upload is one transfer, which makes as many attempts as needed.
type upload struct {
	client    pb.FileServiceClient
	transfer  string
	opts      options
	file      *os.File
	known     remembered
	attempts  int32
	discards  []*pb.GoodSpan // what the server is to forget
	discarded int
	mended    bool
	resumed   int64        // bytes that the server had at the beginning; -1 before it has said so
	received  atomic.Int64 // the most that the server has said it has
}

// put uploads a file, whole and verified, or leaves what was there.
func put(ctx context.Context, target, path, name string, opts options) (said, error) {
	conn, err := connect(target)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	known, err := remember(file, target, name)
	if err != nil {
		return "", err
	}
	u := &upload{
		client: pb.NewFileServiceClient(conn), transfer: rand.Text(), opts: opts, file: file, known: known, resumed: -1,
	}
	info, err := u.run(ctx)
	if err != nil {
		return "", err
	}
	return said(fmt.Sprintf("%s: %d bytes, %d of them there before, attempts: %d, verified: file, revision %s",
		name, info.GetSize(), max(u.resumed, 0), u.attempts, info.GetRevision())), os.Remove(path + ".upload")
}

// said is the line about an upload.
type said string

func (s said) String() string { return string(s) }

// remember finds the id of the upload that an earlier run began with this file, or makes one. It is random, so that nobody
// guesses it, and written down before it is used.
func remember(file *os.File, target, name string) (remembered, error) {
	status, err := file.Stat()
	if err != nil {
		return remembered{}, err
	}
	path := file.Name() + ".upload"
	var known remembered
	if data, err := os.ReadFile(path); err == nil && json.Unmarshal(data, &known) == nil &&
		known.Target == target && known.Name == name && known.Size == status.Size() && known.Modified.Equal(status.ModTime()) {
		return known, nil
	}
	known = remembered{make([]byte, 16), target, name, status.Size(), status.ModTime()}
	rand.Read(known.ID)
	data, err := json.Marshal(known)
	if err != nil {
		return remembered{}, err
	}
	return known, os.WriteFile(path, data, 0o600)
}

func (u *upload) run(ctx context.Context) (*pb.FileInfo, error) {
	var done *pb.FileInfo
	err := retried(ctx, "put", u.opts.retryBudget, func() (bool, error) {
		before := u.received.Load()
		u.attempts++
		info, err := u.attempt(ctx)
		var refused *refusal
		if errors.As(err, &refused) && refused.reason == fileMismatch && !u.mended {
			// Section 14, Resuming: compare the segments, and send again those that differ.
			u.mended = true
			if u.discards, err = u.differing(refused.good); err == nil && len(u.discards) > 0 {
				return true, &failure{reason: fileMismatch, message: "some segments are sent again", again: true}
			}
			err = refused
		}
		done = info
		return u.received.Load() > before, err
	})
	return done, err
}

// attempt opens the upload, sends what the server lacks, and commits it.
func (u *upload) attempt(parent context.Context) (*pb.FileInfo, error) {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	idle := time.AfterFunc(u.opts.idleTimeout, func() {
		cancel(found(stalled, "the server sent nothing for %v", u.opts.idleTimeout))
	})
	defer idle.Stop()
	stream, err := u.client.WriteFile(ctx)
	if err != nil {
		return nil, u.meaning(ctx, err)
	}
	s := &sending{stream: stream, idle: idle, timeout: u.opts.idleTimeout}
	stop := s.keepAlive()
	defer stop()

	open := &pb.UploadOpen{
		UploadId: u.known.ID, Name: u.known.Name, Size: &u.known.Size, Discard: u.discards,
		TransferId: u.transfer, Attempt: u.attempts,
	}
	if err := s.send(&pb.WriteFileRequest{Open: open}); err != nil {
		return nil, u.meaning(ctx, err)
	}
	u.discards = nil
	opened, last, err := s.answer()
	if err != nil {
		return nil, u.meaning(ctx, err)
	}
	if opened == nil {
		return u.end(s, last)
	}
	have, checksum, err := u.agree(opened)
	if err != nil {
		return nil, err
	}
	answers := make(chan lastAnswer, 1)
	go func() { answers <- s.last(func(received int64) { u.received.Store(max(u.received.Load(), received)) }) }()
	refused, err := u.sendRest(s, opened, have, checksum, answers)
	if err != nil {
		return nil, u.meaning(ctx, err)
	}
	if refused == nil {
		got := <-answers
		if got.err != nil {
			return nil, u.meaning(ctx, got.err)
		}
		refused = got.message
	}
	return u.end(s, refused)
}

// agree compares the bytes that the server has with the file, before anything is sent. It returns how many bytes from 0 the
// server has, and their checksum. If some differ, the next attempt has the server forget them.
func (u *upload) agree(opened *pb.UploadOpened) (int64, uint32, error) {
	good := opened.GetGood()
	differ, err := u.differing(good)
	if err != nil {
		return 0, 0, err
	}
	total := int64(0)
	for _, span := range good {
		total += span.GetLength()
	}
	if len(differ) > 0 || (len(good) > 0 && (good[0].GetStart() != 0 || len(good) > 1)) {
		// Of several spans, this program keeps none: it sends from byte 0 on. That is simple, and seldom.
		u.discards = good
		if u.discarded++; u.discarded > mostDiscards {
			return 0, 0, found(fileMismatch, "the server has other bytes than the file, again and again")
		}
		return 0, 0, &failure{reason: fileChanged, message: fmt.Sprintf("%d bytes at the server are discarded", total), again: true}
	}
	if u.resumed < 0 {
		u.resumed = total
	}
	u.received.Store(max(u.received.Load(), total))
	if total == 0 {
		return 0, 0, nil
	}
	return total, good[0].GetCrc32C(), nil
}

// differing returns the spans whose checksum is not that of the file.
func (u *upload) differing(spans []*pb.GoodSpan) ([]*pb.GoodSpan, error) {
	var differ []*pb.GoodSpan
	for _, span := range spans {
		sum := crc32.New(castagnoli)
		n, err := io.Copy(sum, io.NewSectionReader(u.file, span.GetStart(), span.GetLength()))
		if err != nil {
			return nil, err
		}
		if n != span.GetLength() || sum.Sum32() != span.GetCrc32C() {
			differ = append(differ, span)
		}
	}
	return differ, nil
}

// sendRest sends the blocks from a position on, and the commit. If the server refuses meanwhile, it returns what it said.
func (u *upload) sendRest(
	s *sending, opened *pb.UploadOpened, position int64, checksum uint32, answers <-chan lastAnswer,
) (*pb.WriteFileResponse, error) {
	buffer := make([]byte, min(largestBlock, int(opened.GetBlockSize())))
	for position < u.known.Size {
		select {
		case got := <-answers:
			return got.message, got.err
		default:
		}
		n, err := u.file.ReadAt(buffer[:min(int64(len(buffer)), u.known.Size-position)], position)
		if n == 0 {
			return nil, errors.Join(found(fileChanged, "the file became shorter while it was sent"), err)
		}
		data := buffer[:n]
		block := &pb.Block{Offset: position, Crc32C: crc32.Checksum(data, castagnoli), Data: data}
		checksum = crc32.Update(checksum, castagnoli, data)
		if err := s.send(&pb.WriteFileRequest{Block: block}); err != nil {
			if errors.Is(err, io.EOF) { // the server has ended the stream, and said why
				got := <-answers
				return got.message, got.err
			}
			return nil, err
		}
		position += int64(n)
	}
	status, err := u.file.Stat()
	if err != nil {
		return nil, err
	}
	if status.Size() != u.known.Size || !status.ModTime().Equal(u.known.Modified) {
		return nil, &failure{reason: fileChanged, message: "the file changed while it was sent: nothing is committed"}
	}
	return nil, s.send(&pb.WriteFileRequest{Commit: &pb.UploadCommit{Size: u.known.Size, Crc32C: checksum}})
}

// end takes the last message: it ends this side, and waits for the end of the stream.
func (u *upload) end(s *sending, last *pb.WriteFileResponse) (*pb.FileInfo, error) {
	s.finish()
	if refused := last.GetRefused(); refused != nil {
		return nil, refusalOf(refused)
	}
	info := last.GetCommitted()
	if info.GetSize() != u.known.Size {
		return nil, found(fileMismatch, "%d bytes were committed, and the file has %d", info.GetSize(), u.known.Size)
	}
	sum := crc32.New(castagnoli)
	if _, err := io.Copy(sum, io.NewSectionReader(u.file, 0, u.known.Size)); err != nil {
		return nil, err
	}
	if info.Crc32C != nil && info.GetCrc32C() != sum.Sum32() {
		return nil, found(fileMismatch, "crc32c is %08x here, %08x there", sum.Sum32(), info.GetCrc32C())
	}
	return info, nil
}

// meaning returns the failure for the error of a stream.
func (u *upload) meaning(ctx context.Context, err error) error {
	var stall, own *failure
	switch {
	case errors.As(context.Cause(ctx), &stall):
		return stall
	case errors.As(err, &own):
		return own
	case errors.Is(err, io.EOF):
		return found(truncated, "the stream ended without a last message")
	}
	return answered(err)
}

func refusalOf(refused *pb.UploadRefused) *refusal {
	reported := refused.GetError()
	again, known := uploadReasons[reported.GetReason()]
	if !known {
		again = serverReasons[reported.GetReason()]
	}
	return &refusal{failure{
		reason: reported.GetReason(), code: codes.Code(reported.GetCode()), message: reported.GetMessage(), again: again,
		retryAfter: reported.GetRetryDelay().AsDuration(),
	}, refused.GetGood()}
}

// Unwrap makes a refusal a failure for errors.As.
func (r *refusal) Unwrap() error { return &r.failure }

// sending is this side of a stream. gRPC allows one sender at a time, and heartbeats go out beside the blocks.
type sending struct {
	stream  pb.FileService_WriteFileClient
	idle    *time.Timer
	timeout time.Duration
	mutex   sync.Mutex
	since   time.Time
	ended   bool
}

type lastAnswer struct {
	message *pb.WriteFileResponse
	err     error
}

func (s *sending) send(message *pb.WriteFileRequest) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	err := s.stream.Send(message)
	s.since = time.Now()
	if message.GetBlock() != nil {
		s.idle.Reset(s.timeout) // what can be sent shows that the server reads
	}
	return err
}

// keepAlive sends a heartbeat when nothing was sent for a while, until the returned function is called.
func (s *sending) keepAlive() func() {
	ticker, done := time.NewTicker(time.Second), make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				s.mutex.Lock()
				if !s.ended && time.Since(s.since) >= heartbeatEvery {
					s.stream.Send(&pb.WriteFileRequest{})
					s.since = time.Now()
				}
				s.mutex.Unlock()
			case <-done:
				return
			}
		}
	}()
	return func() { ticker.Stop(); close(done) }
}

// answer returns the answer to the opening: what the server has, or its last message.
func (s *sending) answer() (*pb.UploadOpened, *pb.WriteFileResponse, error) {
	for {
		message, err := s.stream.Recv()
		if err != nil {
			return nil, nil, err
		}
		s.idle.Reset(s.timeout)
		if message.GetOpened() != nil {
			return message.GetOpened(), nil, nil
		}
		if message.GetCommitted() != nil || message.GetRefused() != nil {
			return nil, message, nil
		}
	}
}

// last returns the last message, and reports how far the server is until then.
func (s *sending) last(progressed func(int64)) lastAnswer {
	for {
		message, err := s.stream.Recv()
		if err != nil {
			return lastAnswer{err: err}
		}
		s.idle.Reset(s.timeout)
		if message.GetCommitted() != nil || message.GetRefused() != nil {
			return lastAnswer{message: message}
		}
		if progress := message.GetProgress(); progress != nil {
			progressed(progress.GetReceived())
		}
	}
}

// finish ends this side, and waits for the status, but not for long.
func (s *sending) finish() {
	s.mutex.Lock()
	s.ended = true
	s.stream.CloseSend()
	s.mutex.Unlock()
	s.idle.Reset(5 * time.Second)
	for {
		if _, err := s.stream.Recv(); err != nil {
			return
		}
	}
}
