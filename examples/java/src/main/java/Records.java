import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.SecureRandom;
import java.util.Arrays;
import java.util.Map;
import javax.crypto.Cipher;
import javax.crypto.spec.GCMParameterSpec;
import javax.crypto.spec.SecretKeySpec;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.services.kms.KmsClient;
import software.amazon.awssdk.services.kms.model.DataKeySpec;

/** A value encrypted under a data key of an edge, by the AWS SDK as it is: AWS_ENDPOINT_URL_KMS says where the edge listens. */
public final class Records {
  private static final String KEY = "alias/tenant-a/billing";
  private static final SecureRandom RANDOM = new SecureRandom();
  private final KmsClient kms = KmsClient.create();

  /** Length of the wrapped key, wrapped key, nonce, ciphertext with its tag. */
  byte[] seal(String value, Map<String, String> context) throws GeneralSecurityException {
    var made = kms.generateDataKey(r -> r.keyId(KEY).keySpec(DataKeySpec.AES_256).encryptionContext(context));
    byte[] wrapped = made.ciphertextBlob().asByteArray();
    byte[] nonce = new byte[12];
    RANDOM.nextBytes(nonce);
    byte[] sealed = crypt(Cipher.ENCRYPT_MODE, made.plaintext(), nonce, value.getBytes(StandardCharsets.UTF_8));
    return ByteBuffer.allocate(2 + wrapped.length + nonce.length + sealed.length)
        .putShort((short) wrapped.length).put(wrapped).put(nonce).put(sealed).array();
  }

  /** The context is that of the sealing: it binds the data key, and so the value, to its place. */
  String open(byte[] record, Map<String, String> context) throws GeneralSecurityException {
    var bytes = ByteBuffer.wrap(record);
    byte[] wrapped = new byte[bytes.getShort()];
    byte[] nonce = new byte[12];
    bytes.get(wrapped).get(nonce);
    byte[] sealed = new byte[bytes.remaining()];
    bytes.get(sealed);
    var opened = kms.decrypt(r -> r.ciphertextBlob(SdkBytes.fromByteArray(wrapped)).encryptionContext(context));
    return new String(crypt(Cipher.DECRYPT_MODE, opened.plaintext(), nonce, sealed), StandardCharsets.UTF_8);
  }

  private static byte[] crypt(int mode, SdkBytes dataKey, byte[] nonce, byte[] input) throws GeneralSecurityException {
    byte[] key = dataKey.asByteArray();
    try {
      var cipher = Cipher.getInstance("AES/GCM/NoPadding");
      cipher.init(mode, new SecretKeySpec(key, "AES"), new GCMParameterSpec(128, nonce));
      return cipher.doFinal(input);
    } finally {
      Arrays.fill(key, (byte) 0);
    }
  }

  public static void main(String[] arguments) throws Exception {
    var records = new Records();
    var context = Map.of("table", "invoices", "id", "4711");
    byte[] sealed = records.seal("invoice 4711", context);
    System.out.println(records.open(sealed, context));
    try {
      records.open(sealed, Map.of("table", "invoices", "id", "4712"));
    } catch (software.amazon.awssdk.services.kms.model.InvalidCiphertextException refused) {
      System.out.println("another row: refused");
    }
  }
}
