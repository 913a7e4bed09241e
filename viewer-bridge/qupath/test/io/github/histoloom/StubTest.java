package io.github.histoloom;

import io.github.histoloom.qupath.ThinTest;
import java.io.File;

/** {@link ThinTest} on the slide. java -cp ... io.github.histoloom.StubTest SLIDE SCRIPT OUT_DIR */
public final class StubTest {
    private StubTest() {}

    public static void main(String[] args) throws Exception {
        try (SlideFile slide = new SlideFile(args[0])) {
            ThinTest.run(slide, new File(args[1]), new File(args[2]));
        }
        System.out.println("the classes that touch QuPath do what they should");
    }
}
