// Pans by dragging and zooms with the wheel about the pointer. Scene units are level-0 pixels.
#pragma once

#include <QGraphicsView>

namespace histoloom {

class SlideView : public QGraphicsView {
public:
    explicit SlideView(QWidget *parent = nullptr);

    // The slide whole, and how far one may zoom out; mpp for the scale bar, 0 = not known.
    void fit(const QRectF &slide, double mpp);
    // About a point of the view.
    void zoom(double factor, const QPoint &at);
    // What is seen, level-0 pixels.
    QRectF seen() const { return viewportTransform().inverted().mapRect(QRectF(viewport()->rect())); }

protected:
    void wheelEvent(QWheelEvent *event) override;
    void drawForeground(QPainter *painter, const QRectF &rect) override;

private:
    double least_scale_ = 1e-6;
    double mpp_ = 0;
};

}  // namespace histoloom
