import com.google.protobuf.ByteString;
import java.io.IOException;
import java.io.StringReader;
import java.io.StringWriter;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Properties;
import java.util.zip.CRC32C;

/** The unfinished copy, OUT.part, and its record, OUT.part.properties: section 5 of PROTOCOL.md. */
final class Part {
  private static final long RECORD_EVERY = 16 << 20; // bytes: what a kill costs at most

  private final Path out, path, record;
  private final FileChannel file;
  private long recorded;

  Part(String out) throws IOException {
    this.out = Path.of(out);
    path = Path.of(out + ".part");
    record = Path.of(out + ".part.properties");
    file = FileChannel.open(path, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
  }

  /** Makes the receiver continue from the bytes of an earlier run if they still match its record, and otherwise from zero. */
  void takeUp(Receiver receiver) throws IOException {
    try {
      var left = new Properties();
      left.load(new StringReader(Files.readString(record)));
      long good = Long.parseLong(left.getProperty("good"));
      CRC32C found = checksum(good);
      if (receiver.name.equals(left.getProperty("name")) && found != null
          && found.getValue() == Long.parseLong(left.getProperty("crc32c")) && !left.getProperty("revision").isEmpty()) {
        receiver.revision = left.getProperty("revision");
        receiver.size = Long.parseLong(left.getProperty("size"));
        receiver.position = good;
        receiver.checksum = found;
      }
    } catch (IOException | RuntimeException ignored) {
      // no record, or not one of this program
    }
    cut(receiver);
  }

  /** Reads the first bytes again; returns null if there are fewer. */
  private CRC32C checksum(long good) throws IOException {
    var checksum = new CRC32C();
    var buffer = ByteBuffer.allocate(1 << 20);
    for (long at = 0; at < good; ) {
      buffer.clear().limit((int) Math.min(buffer.capacity(), good - at));
      int count = file.read(buffer, at);
      if (count < 0) return null;
      checksum.update(buffer.flip());
      at += count;
    }
    return checksum;
  }

  /** Truncates the part file after the good bytes, and records that. */
  void cut(Receiver receiver) throws IOException {
    file.truncate(receiver.position);
    note(receiver);
  }

  /** Writes good bytes, which end at the receiver's position. The record is written after them, never before. */
  void write(ByteString data, Receiver receiver) throws IOException {
    long at = receiver.position - data.size();
    for (var part : data.asReadOnlyByteBufferList()) {
      while (part.hasRemaining()) at += file.write(part, at);
    }
    if (receiver.position - recorded >= RECORD_EVERY) note(receiver);
  }

  private void note(Receiver receiver) throws IOException {
    var said = new Properties();
    said.setProperty("name", receiver.name);
    said.setProperty("revision", receiver.revision);
    said.setProperty("size", Long.toString(receiver.size));
    said.setProperty("good", Long.toString(receiver.position));
    said.setProperty("crc32c", Long.toString(receiver.checksum.getValue()));
    var text = new StringWriter();
    said.store(text, null);
    Path fresh = Path.of(record + ".new");
    Files.writeString(fresh, text.toString());
    Files.move(fresh, record, StandardCopyOption.ATOMIC_MOVE);
    recorded = receiver.position;
  }

  /** Gives the complete, verified copy its final name. */
  void commit() throws IOException {
    file.force(true);
    Files.move(path, out, StandardCopyOption.ATOMIC_MOVE);
    try (var directory = FileChannel.open(out.toAbsolutePath().getParent())) {
      directory.force(true);
    }
    Files.delete(record);
  }

  /** Keeps the good bytes after an error; if there are none, leaves no files. */
  void keep(Receiver receiver) throws IOException {
    if (receiver.position > 0) {
      note(receiver);
    } else {
      Files.delete(path);
      Files.delete(record);
    }
  }
}
