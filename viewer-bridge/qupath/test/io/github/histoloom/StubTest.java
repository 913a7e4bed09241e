package io.github.histoloom;

import io.github.histoloom.qupath.ThinTest;
import io.github.histoloom.qupath.WindowTest;
import java.io.File;

/** {@link ThinTest} on the slide, or {@link WindowTest} without a script. java -cp ... io.github.histoloom.StubTest SLIDE [SCRIPT] OUT_DIR */
public final class StubTest {
    private StubTest() {}

    public static void main(String[] args) throws Exception {
        try (SlideFile slide = new SlideFile(args[0])) {
            if (args.length == 2) {
                WindowTest.run(slide, new File(args[1]));
            } else {
                ThinTest.run(slide, new File(args[1]), new File(args[2]));
            }
        }
        System.out.println("the classes that touch QuPath do what they should");
    }
}
