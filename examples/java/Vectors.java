import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;

/** The published test vectors in a test runner of one's own: Vectors FOLDER [--bug] */
public final class Vectors {
    private Vectors() {}

    public static void main(String[] arguments) throws IOException {
        boolean bug = Arrays.asList(arguments).contains("--bug");
        int passed = 0;
        int failed = 0;
        List<String> names = null; // faults that explain every failure so far
        List<Path> files;
        try (Stream<Path> found = Files.list(Path.of(arguments[0]))) {
            files = found.filter(p -> p.toString().endsWith(".json") && !p.endsWith("schema.json")).sorted().toList();
        }
        for (Path file : files) {
            JsonObject whole = JsonParser.parseString(Files.readString(file)).getAsJsonObject();
            for (JsonElement element : whole.getAsJsonArray("groups")) {
                JsonObject group = element.getAsJsonObject();
                if (!group.get("dtype").getAsString().equals("float64")) continue;
                for (JsonElement each : group.getAsJsonArray("tests")) {
                    JsonObject test = each.getAsJsonObject();
                    JsonObject got = Net.answer(test.getAsJsonObject("request"), bug);
                    if (right(got, test.getAsJsonObject("expected"))) {
                        passed++;
                        continue;
                    }
                    failed++;
                    List<String> here = explanations(got, test.getAsJsonArray("faults"), group.get("nearby").getAsDouble());
                    if (names == null) names = here;
                    else names.retainAll(here);
                }
            }
        }
        System.out.println(passed + " passed, " + failed + " failed");
        if (failed > 0) {
            System.out.println(names.isEmpty() ? "no known fault explains all of it" : "all of it is explained by: " + String.join(", ", names));
            System.exit(1);
        }
    }

    private static boolean right(JsonObject got, JsonObject expected) {
        JsonArray loss = new JsonArray();
        loss.add(new JsonArray());
        loss.get(0).getAsJsonArray().add(got.get("loss"));
        if (!inside(got.getAsJsonArray("outputs"), expected.getAsJsonObject("outputs"))) return false;
        if (!inside(loss, expected.getAsJsonObject("loss"))) return false;
        for (String kind : List.of("gradients", "updated")) {
            if (expected.get(kind).isJsonNull()) continue;
            for (int k = 0; k < expected.getAsJsonArray(kind).size(); k++) {
                JsonObject layer = expected.getAsJsonArray(kind).get(k).getAsJsonObject();
                JsonObject ours = got.getAsJsonArray(kind).get(k).getAsJsonObject();
                if (!inside(ours.getAsJsonArray("weights"), layer.getAsJsonObject("weights"))) return false;
                if (layer.get("biases").isJsonNull()) continue;
                JsonArray biases = new JsonArray();
                biases.add(ours.get("biases"));
                if (!inside(biases, layer.getAsJsonObject("biases"))) return false;
            }
        }
        return true;
    }

    private static boolean inside(JsonArray rows, JsonObject expected) {
        for (int i = 0; i < rows.size(); i++) {
            for (int j = 0; j < rows.get(i).getAsJsonArray().size(); j++) {
                JsonElement tolerance = at(expected.get("tolerance"), i, j);
                if (tolerance.isJsonNull()) continue;
                double x = at(rows, i, j).getAsDouble();
                double t = tolerance.getAsDouble();
                boolean held = at(expected.get("lo"), i, j).getAsDouble() - t <= x && x <= at(expected.get("hi"), i, j).getAsDouble() + t;
                if (!held) return false; // also for NaN
            }
        }
        return true;
    }

    private static JsonElement at(JsonElement rows, int i, int j) {
        return rows.getAsJsonArray().get(i).getAsJsonArray().get(j);
    }

    /** The names of the faults that give these numbers. */
    private static List<String> explanations(JsonObject got, JsonArray faults, double nearby) {
        List<String> found = new ArrayList<>();
        for (JsonElement each : faults) {
            JsonObject fault = each.getAsJsonObject();
            String kind = fault.has("gradients") ? "gradients" : "updated";
            boolean all = true;
            for (int k = 0; k < fault.getAsJsonArray(kind).size(); k++) {
                JsonObject wanted = fault.getAsJsonArray(kind).get(k).getAsJsonObject();
                JsonObject ours = got.getAsJsonArray(kind).get(k).getAsJsonObject();
                for (String part : List.of("weights", "biases")) {
                    if (wanted.get(part).isJsonNull()) continue;
                    double largest = flat(wanted.get(part)).stream().mapToDouble(Math::abs).max().orElse(0);
                    List<Double> w = flat(wanted.get(part));
                    List<Double> o = flat(ours.get(part));
                    for (int i = 0; i < w.size(); i++) all &= Math.abs(o.get(i) - w.get(i)) <= nearby * largest;
                }
            }
            if (all) fault.getAsJsonArray("names").forEach(name -> found.add(name.getAsString()));
        }
        return found;
    }

    private static List<Double> flat(JsonElement rows) {
        if (!rows.isJsonArray()) return List.of(rows.getAsDouble());
        List<Double> found = new ArrayList<>();
        rows.getAsJsonArray().forEach(row -> found.addAll(flat(row)));
        return found;
    }
}
