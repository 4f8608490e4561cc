import java.util.*;
import java.util.stream.*;

/** Plays the class of docs/run-anywhere.md: FILES LAYERS HEADS HEAD_SIZE WIDTH END MOST, then lines "source|prompt". */
final class Main {
    public static void main(String[] args) throws Exception {
        int[] n = IntStream.range(1, args.length).map(i -> Integer.parseInt(args[i])).toArray();
        Quartet quartet = new Quartet(args[0], n[0], n[1], n[2], n[3]);
        Scanner lines = new Scanner(System.in);
        while (lines.hasNextLine()) {
            String[] sides = lines.nextLine().split("\\|");
            List<Long> tokens = quartet.generate(ids(sides[0]), ids(sides[1]), n[4], n[5]);
            System.out.println(tokens.stream().map(String::valueOf).collect(Collectors.joining(" ")));
        }
    }

    private static long[] ids(String text) {
        return Arrays.stream(text.trim().split(" ")).mapToLong(Long::parseLong).toArray();
    }
}
