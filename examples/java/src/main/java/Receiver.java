import com.google.protobuf.ByteString;
import unspool.v1.FileServiceOuterClass.Block;
import unspool.v1.FileServiceOuterClass.FileInfo;
import unspool.v1.FileServiceOuterClass.Header;
import unspool.v1.FileServiceOuterClass.ReadFileRequest;
import unspool.v1.FileServiceOuterClass.ReadFileResponse;
import unspool.v1.FileServiceOuterClass.Summary;
import java.util.zip.CRC32C;

/** The checks of section 3, in the order of its table. It lasts for all attempts; its position moves only past good bytes. */
final class Receiver {
  enum State { OPENING, RECEIVING, COMPLETE }

  final String name;
  State state = State.OPENING;
  long position; // the first byte that is missing
  CRC32C checksum = new CRC32C(); // of the bytes before it
  String revision = ""; // pinned, unless empty
  long size; // of that revision
  Integer known; // the whole file's checksum, as sent by the server

  Receiver(String name) {
    this.name = name;
  }

  /** Starts an attempt: requests the missing bytes, to the end of the file. */
  ReadFileRequest request(int attempt, String transferId, int blockSize) {
    state = State.OPENING;
    var request = ReadFileRequest.newBuilder().setName(name).setStart(position).setAttempt(attempt).setTransferId(transferId);
    if (!revision.isEmpty()) request.setRevision(revision);
    if (blockSize > 0) request.setBlockSize(blockSize);
    return request.build();
  }

  /** Checks a message; returns its bytes, which are good now, or null if it has none. */
  ByteString receive(ReadFileResponse message) throws Failure {
    if (message.hasHeader()) {
      mustBe(State.OPENING, "header");
      open(message.getHeader());
      state = State.RECEIVING;
    }
    long end = position;
    if (message.hasBlock()) {
      mustBe(State.RECEIVING, "block");
      check(message.getBlock());
      end += message.getBlock().getData().size();
    }
    if (message.hasSummary()) {
      mustBe(State.RECEIVING, "summary");
      close(message.getSummary(), end);
      state = State.COMPLETE;
    } else if (!message.hasHeader() && !message.hasBlock() && state == State.COMPLETE) {
      throw new Failure("SEQUENCE", "a heartbeat arrived after the summary");
    }
    if (!message.hasBlock()) return null;
    ByteString data = message.getBlock().getData();
    add(checksum, data);
    position = end;
    return data;
  }

  private void mustBe(State wanted, String what) throws Failure {
    if (state != wanted) throw new Failure("SEQUENCE", "a %s arrived out of order (while %s)", what, state);
  }

  private void open(Header header) throws Failure {
    FileInfo info = header.getInfo();
    long start = header.getStart(), length = header.getLength(), offered = info.getSize();
    if (!header.hasInfo() || !info.getName().equals(name) || info.getRevision().isEmpty() || offered < 0 || length < 0) {
      throw new Failure("PROTOCOL", "the header does not describe \"%s\"", name);
    }
    if (!revision.isEmpty() && !info.getRevision().equals(revision)) {
      throw new Failure("FILE_CHANGED", "revision %s was asked for, %s is offered", revision, info.getRevision());
    }
    if (!revision.isEmpty() && offered != size) {
      throw new Failure("PROTOCOL", "revision %s had %d bytes before and has %d now", revision, size, offered);
    }
    if (info.hasCrc32C()) learn(info.getCrc32C());
    if (start != position) {
      throw new Failure("START_IGNORED", "asked for the bytes from %d, they are offered from %d", position, start);
    }
    if (position > offered) {
      throw new Failure("START_PAST_END", "asked for the bytes from %d, the file ends at %d", position, offered);
    }
    if (length != offered - start) {
      throw new Failure("START_IGNORED", "asked for all from %d to %d, %d bytes are offered", start, offered, length);
    }
    revision = info.getRevision();
    size = offered;
  }

  private void check(Block block) throws Failure {
    int length = block.getData().size();
    if (block.getOffset() != position) {
      throw new Failure("SEQUENCE", "a block begins at byte %d, byte %d is missing", block.getOffset(), position);
    }
    if (length == 0) throw new Failure("PROTOCOL", "an empty block arrived");
    if (length > size - position) {
      throw new Failure("TOO_MUCH_DATA", "a block of %d bytes arrived at byte %d of %d", length, position, size);
    }
    CRC32C found = new CRC32C();
    add(found, block.getData());
    if ((int) found.getValue() != block.getCrc32C()) {
      throw new Failure("BLOCK_CORRUPT", "the %d bytes at %d are not what their checksum says", length, position);
    }
  }

  private void close(Summary summary, long end) throws Failure {
    if (summary.getEnd() != end || end != size) {
      throw new Failure("TRUNCATED", "bytes up to %d arrived, the summary says %d of %d", end, summary.getEnd(), size);
    }
    if (!summary.getAtEnd()) throw new Failure("PROTOCOL", "the summary is wrong about byte %d being the file's end", end);
    if (summary.hasCrc32C()) learn(summary.getCrc32C());
  }

  /** Stores the whole file's checksum. It must never change. */
  private void learn(int crc32c) throws Failure {
    if (known != null && known != crc32c) {
      throw new Failure("PROTOCOL", "the server gives different checksums for revision %s", revision);
    }
    known = crc32c;
  }

  private static void add(CRC32C checksum, ByteString data) {
    for (var part : data.asReadOnlyByteBufferList()) checksum.update(part);
  }
}
