// Reads pictures (PGM) with BoofCV: java -cp boofcv.jar ReadWithBoofcv.java PICTURE...
// Prints a line for each: the code's bytes and its text, both in base64, or - for what there is none of.
import boofcv.abst.fiducial.QrCodeDetector;
import boofcv.alg.fiducial.qrcode.EciEncoding;
import boofcv.alg.fiducial.qrcode.QrCode;
import boofcv.factory.fiducial.ConfigQrCode;
import boofcv.factory.fiducial.FactoryFiducial;
import boofcv.struct.image.GrayU8;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.List;

public class ReadWithBoofcv {
    public static void main(String[] pictures) throws Exception {
        for (String picture : pictures) {
            byte[] file = Files.readAllBytes(Path.of(picture));
            String bytes = read(file, EciEncoding.BINARY), text = read(file, null);
            System.out.println(
                word(bytes, StandardCharsets.ISO_8859_1) + " " + word(text, StandardCharsets.UTF_8));
        }
    }

    // The message of the first code; as binary, each of its characters is a byte.
    static String read(byte[] file, String encoding) {
        String[] head = new String(file, 0, 32, StandardCharsets.ISO_8859_1).split("\\s", 5);
        GrayU8 grey = new GrayU8(Integer.parseInt(head[1]), Integer.parseInt(head[2]));
        System.arraycopy(file, file.length - grey.data.length, grey.data, 0, grey.data.length);
        ConfigQrCode config = new ConfigQrCode();
        config.forceEncoding = encoding;
        QrCodeDetector<GrayU8> detector = FactoryFiducial.qrcode(config, GrayU8.class);
        detector.process(grey);
        List<QrCode> codes = detector.getDetections();
        return codes.isEmpty() ? null : codes.get(0).message;
    }

    static String word(String message, java.nio.charset.Charset characters) {
        return message == null ? "-" : Base64.getEncoder().encodeToString(message.getBytes(characters));
    }
}
