import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** Protocol 1: a request per line in, an answer per line out. */
public final class Main {
    private static final String CAPABILITIES =
            """
            {"id":0,"name":"Java example","activations":["identity","sigmoid","tanh","relu","leaky_relu","softplus","softmax"],\
            "losses":["half_squared_error","squared_error","binary_cross_entropy","binary_cross_entropy_from_logits",\
            "softmax_cross_entropy","softmax_cross_entropy_from_logits"],"dtypes":["float64"]}""";

    private Main() {}

    public static void main(String[] arguments) throws IOException {
        boolean bug = Arrays.asList(arguments).contains("--bug");
        Gson gson = new GsonBuilder().serializeNulls().create();
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            JsonObject request = JsonParser.parseString(line).getAsJsonObject();
            System.out.println(request.has("hello") ? CAPABILITIES : gson.toJson(Net.answer(request, bug)));
            System.out.flush();
        }
    }
}
