// Draws a region around tissue with the mouse, over a slide in any view: while it waits, the view hears nothing of the left button. In: an item
// whose coordinates are level-0 pixels. Out: the outline, shown until it is drawn anew or forgotten.
#pragma once

#include <QGraphicsObject>
#include <QGraphicsPathItem>
#include <QGraphicsView>
#include <QObject>
#include <QPointer>
#include <QPolygonF>

namespace histoloom {

class RegionTool : public QObject {
    Q_OBJECT

public:
    explicit RegionTool(QObject *parent) : QObject(parent) {}

    // The next drag over the view is an outline; a mere click takes away the one that is there.
    void start(QGraphicsView *view, QGraphicsObject *slide);
    void forget();
    // Level-0 pixels; empty while there is none.
    const QPolygonF &region() const { return region_; }

signals:
    void drawn();

protected:
    bool eventFilter(QObject *watched, QEvent *event) override;

private:
    void add(const QPointF &at);
    void stop();

    QPointer<QGraphicsView> view_;
    QPointer<QGraphicsObject> slide_;
    QGraphicsPathItem *outline_ = nullptr;  // the slide's item owns it, and takes it along where the viewer clears its scene
    QPolygonF region_;
    bool drawing_ = false;
};

}  // namespace histoloom
