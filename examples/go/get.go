package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials/insecure"

	pb "unspool/examples/go/unspoolv1"
)

// The waits of section 7.
const (
	firstWait         = 250 * time.Millisecond
	longestWait       = 30 * time.Second
	longestRetryAfter = 300 * time.Second
)

// result is the result of a download.
type result struct {
	out      string
	size     int64
	resumed  int64 // bytes from an earlier run
	attempts int32
	verified string // "file", or "blocks" if the server gave no checksum of the whole
}

func (r result) String() string {
	return fmt.Sprintf("%s: %d bytes, %d of them here before, attempts: %d, verified: %s",
		r.out, r.size, r.resumed, r.attempts, r.verified)
}

func connect(target string) (*grpc.ClientConn, error) {
	return grpc.NewClient(target,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		// The retry budget of this program decides when to retry (section 7).
		grpc.WithDisableRetry(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{
			BaseDelay: 100 * time.Millisecond, Multiplier: 2, Jitter: 0.2, MaxDelay: time.Second,
		}, MinConnectTimeout: 10 * time.Second}),
	)
}

// get downloads a file, whole and verified, or not at all.
func get(ctx context.Context, target, name, out string, opts options) (_ result, err error) {
	conn, err := connect(target)
	if err != nil {
		return result{}, err
	}
	defer conn.Close()

	p, err := openPart(out)
	if err != nil {
		return result{}, err
	}
	defer p.file.Close()
	d := &download{
		client: pb.NewFileServiceClient(conn), transfer: rand.Text(), opts: opts, part: p, receiver: &receiver{name: name},
	}
	if opts.startFromPart {
		err = p.takeUp(d.receiver)
	} else {
		err = p.cut(d.receiver)
	}
	if err != nil {
		return result{}, err
	}
	return d.run(ctx)
}

// download is one transfer, which makes as many attempts as needed.
type download struct {
	client   pb.FileServiceClient
	transfer string
	opts     options
	part     *part
	receiver *receiver
	attempts int32
}

func (d *download) run(ctx context.Context) (result, error) {
	resumed := d.receiver.position
	for {
		if err := d.fetch(ctx); err != nil {
			return result{}, d.keep(err)
		}
		r := d.receiver
		done := result{out: d.part.out, size: r.size, resumed: resumed, attempts: d.attempts, verified: "file"}
		switch {
		case r.known == nil:
			done.verified = "blocks"
		case *r.known != r.checksum && resumed > 0:
			// The bytes of an earlier run are damaged: section 5, step 6.
			resumed = 0
			d.receiver = &receiver{name: r.name}
			if err := d.part.cut(d.receiver); err != nil {
				return result{}, err
			}
			continue
		case *r.known != r.checksum:
			return result{}, found(fileMismatch, "crc32c is %08x here, %08x there", r.checksum, *r.known)
		}
		return done, d.part.commit()
	}
}

// keep records the good bytes, and returns err. If there are none, it leaves no files.
func (d *download) keep(err error) error {
	if d.receiver.position > 0 {
		return errors.Join(err, d.part.record(d.receiver))
	}
	return errors.Join(err, os.Remove(d.part.file.Name()), os.Remove(d.part.recordPath()))
}

// fetch makes attempts until the read is complete, or the budget is spent.
func (d *download) fetch(ctx context.Context) error {
	return retried(ctx, "get", d.opts.retryBudget, func() (bool, error) {
		before := d.receiver.position
		d.attempts++
		err := d.attempt(ctx)
		return d.receiver.position > before, err
	})
}

// retried makes attempts until one succeeds, or so many in a row have made no progress (section 7).
func retried(ctx context.Context, what string, budget int, attempt func() (progressed bool, err error)) error {
	fruitless := 0
	for {
		progressed, err := attempt()
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		var f *failure
		if !errors.As(err, &f) || !f.again {
			return err
		}
		if progressed {
			fruitless = 0
		} else if fruitless++; fruitless >= budget {
			return err
		}
		wait := min(longestWait, firstWait<<min(max(fruitless-1, 0), 10))
		wait = mathrand.N(wait) + min(max(f.retryAfter, 0), longestRetryAfter)
		fmt.Fprintf(os.Stderr, what+": retrying in %.1f s: %v\n", wait.Seconds(), f)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// attempt reads one stream. It returns nil when the read is complete.
func (d *download) attempt(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	idle := time.AfterFunc(d.opts.idleTimeout, func() {
		cancel(found(stalled, "the server sent nothing for %v", d.opts.idleTimeout))
	})
	defer idle.Stop()

	stream, err := d.client.ReadFile(ctx, d.receiver.request(d.transfer, d.attempts))
	for err == nil {
		var message *pb.ReadFileResponse
		if message, err = stream.Recv(); err != nil {
			break
		}
		idle.Reset(d.opts.idleTimeout)
		if f := d.receiver.receive(message); f != nil {
			return f
		}
		if data := message.GetBlock().GetData(); len(data) > 0 {
			if err := d.part.write(data, d.receiver); err != nil {
				return err
			}
		}
	}
	var stall *failure
	switch {
	case d.receiver.state == complete:
		return nil
	case errors.As(context.Cause(ctx), &stall):
		return stall
	case errors.Is(err, io.EOF):
		return found(truncated, "the stream ended without its summary, at byte %d", d.receiver.position)
	}
	return answered(err)
}
