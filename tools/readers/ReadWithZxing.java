// Reads pictures (PGM) with ZXing: java -cp zxing.jar ReadWithZxing.java PICTURE...
// Prints a line for each: the code's byte segments and its text, both in base64, or - for what there is none of.
import com.google.zxing.BinaryBitmap;
import com.google.zxing.DecodeHintType;
import com.google.zxing.ReaderException;
import com.google.zxing.PlanarYUVLuminanceSource;
import com.google.zxing.Result;
import com.google.zxing.ResultMetadataType;
import com.google.zxing.common.HybridBinarizer;
import com.google.zxing.qrcode.QRCodeReader;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;
import java.util.Map;

public class ReadWithZxing {
    public static void main(String[] pictures) throws Exception {
        for (String picture : pictures) System.out.println(read(Files.readAllBytes(Path.of(picture))));
    }

    static String read(byte[] file) {
        String[] head = new String(file, 0, 32, StandardCharsets.ISO_8859_1).split("\\s", 5);
        int width = Integer.parseInt(head[1]), height = Integer.parseInt(head[2]);
        byte[] grey = java.util.Arrays.copyOfRange(file, file.length - width * height, file.length);
        var source = new PlanarYUVLuminanceSource(grey, width, height, 0, 0, width, height, false);
        try {
            Result result = new QRCodeReader().decode(
                new BinaryBitmap(new HybridBinarizer(source)), Map.of(DecodeHintType.TRY_HARDER, true));
            return segments(result) + " " + word(result.getText().getBytes(StandardCharsets.UTF_8));
        } catch (ReaderException notRead) {
            return "- -";
        }
    }

    @SuppressWarnings("unchecked")
    static String segments(Result result) {
        var metadata = result.getResultMetadata();
        if (metadata == null || !metadata.containsKey(ResultMetadataType.BYTE_SEGMENTS)) return "-";
        var joined = new ByteArrayOutputStream();
        for (byte[] segment : (List<byte[]>) metadata.get(ResultMetadataType.BYTE_SEGMENTS)) joined.writeBytes(segment);
        return word(joined.toByteArray());
    }

    static String word(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }
}
