package qupath.lib.regions;

/** Signatures of qupath-core/src/main/java/qupath/lib/regions/ImageRegion.java of QuPath 0.6.0 and 0.7.0. */
public class ImageRegion {
    private final int x, y, width, height;

    ImageRegion(int x, int y, int width, int height) {
        this.x = x;
        this.y = y;
        this.width = width;
        this.height = height;
    }

    public static ImageRegion createInstance(final int x, final int y, final int width, final int height, final int z, final int t) {
        return new ImageRegion(x, y, width, height);
    }

    public int getX() {
        return x;
    }

    public int getY() {
        return y;
    }

    public int getWidth() {
        return width;
    }

    public int getHeight() {
        return height;
    }
}
